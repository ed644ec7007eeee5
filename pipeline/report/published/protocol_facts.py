"""The protocols behind the published numbers, and where a study's protocol differs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from pipeline.report.published.records import FOLDER, RESTORE
from pipeline.report.source import Source
from pipeline.runtime.errors import UserError

NOT_STATED = "not stated"
NOT_RECORDED = "not recorded"
SAME, DIFFERS = "same", "differs"
#: Facts whose value in a study is not stored in about.json as such, or whose null there has a meaning.
READ: dict[str, Callable[[Source], Any]] = {
    "runs": lambda source: len(source.seeds),
    "bits": lambda source: [int(float(bits)) for bits in source.bits],
    "top_k": lambda source: source.about["top_k"] or "whole database",
    "batch sizes": lambda source: _batch_sizes(source),
    "tuned on": lambda source: "validation images" if source.tune else "not tuned",
    "settings": lambda source: source.tune["settings"] if source.tune else "not tuned",
}


@dataclass(frozen=True)
class Fact:
    """One point of the protocol: what the paper says, what the study did, and whether both agree."""

    name: str
    paper: Any
    ours: Any

    @property
    def verdict(self) -> str:
        if self.paper == NOT_STATED:
            return NOT_STATED
        if self.ours == NOT_RECORDED:
            return NOT_RECORDED
        return SAME if self.paper == self.ours else DIFFERS


@cache
def protocols() -> dict[str, Any]:
    """The contents of ``published/protocols.yaml``.

    Raises:
        UserError: it is missing or not YAML.
    """
    path = FOLDER / "protocols.yaml"
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML ({' '.join(str(error).split())}). {RESTORE}") from None
    return content


def names() -> list[str]:
    """The published tables."""
    return list(protocols()["tables"])


def citation(table: str) -> str:
    """A table's paper and number."""
    found = protocols()["tables"][table]
    return f"{protocols()['papers'][found['paper']]['citation']}, Table {found['number']}"


def what(table: str) -> str:
    """What a table is about, in a few words."""
    return str(protocols()["tables"][table]["what"])


def remarks(table: str) -> list[str]:
    """Statements about a table's protocol that cannot be compared with a study's settings, each with its citation."""
    found = protocols()["tables"][table]
    paper = protocols()["papers"][found["paper"]]
    said = [(paper["citation"], remark) for remark in paper["remarks"]]
    said += [(citation(table), remark) for remark in found["remarks"]]
    return [f"{place}: {remark}" for place, remark in said]


def dataset_here(table: str, dataset: str) -> str:
    """This project's name for a table's dataset."""
    return str(_datasets(table)[dataset]["dataset"])


def other_network(table: str, source: Source) -> str:
    """The study's network if it isn't the one that a table's paper trained, such as ``efficientnet_lite0, frozen``."""
    found = protocols()["tables"][table]
    stated = {**protocols()["papers"][found["paper"]]["facts"], **found["facts"]}.get("backbone.name")
    own = source.about["backbone"]
    if stated in (None, own["name"]) and not own.get("frozen"):
        return ""
    return f"{own['name']}, frozen" if own.get("frozen") else str(own["name"])


def datasets(table: str) -> list[str]:
    """The datasets of a table's paper, by their names in ``results.csv``."""
    return list(_datasets(table))


def compared(table: str, dataset: str, source: Source) -> list[Fact]:
    """Every point of a table's protocol, compared with the study's."""
    found = protocols()["tables"][table]
    stated = protocols()["papers"][found["paper"]]["facts"] | found["facts"] | _datasets(table)[dataset]
    return [Fact(name, value, _ours(name, source)) for name, value in stated.items() if value is not None]


def _datasets(table: str) -> dict[str, Any]:
    found: dict[str, Any] = protocols()["papers"][protocols()["tables"][table]["paper"]]["datasets"]
    return found


def _batch_sizes(source: Source) -> Any:
    if source.timing is None:
        return NOT_RECORDED
    return sorted({int(float(size)) for size in source.timing["batch_size"]})


def _ours(name: str, source: Source) -> Any:
    """A study's value of one fact; a dotted name is a path in about.json."""
    if name in READ:
        return READ[name](source)
    value: Any = source.about
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            return NOT_RECORDED
        value = value[key]
    return value
