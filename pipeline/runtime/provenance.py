"""What a result was made of, and whether that is what it would be made of now: the one rule, for everyone who asks.

When a stage starts, it notes what it is made of: hashes of the code, the params, and what identifies its inputs, as
dvc.yaml declares them for the stage. The note goes with its outputs, as ``made_of.json`` in their folder, so it is
restored, pulled and copied with them. ``Present`` compares notes with the code, params and files that are there.

The prepared data and the splits are known by hashes of their content: whoever made the same again made the same. So
their notes lie beside their folders (``data.made_of.json``), and no later stage depends on them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.runtime.yaml12 import parse

#: The folder of the code that is running: dvc.yaml, stages/ and pipeline/ are in it.
PROJECT = Path(__file__).parents[2]
RECORD = "made_of.json"
#: Where something lies shapes no result: these params count for none.
PLACES = {"dataset": ("path",)}
#: What identifies the content of these outputs, and the file that says so.
IDENTIFIED = {"data": ("manifest.json", "content_hash"), "splits": ("split.json", "split_hash")}

Item = dict[str, str | int]


@dataclass(frozen=True)
class Record:
    """What an output was made of.

    Args:
        stage: its name in dvc.yaml.
        item: what the stage was about, as its command line says.
        code: SHA-256 of every file and folder of code that dvc.yaml names for it.
        params: the values of params.yaml that it depends on, by their dotted names.
        inputs: what identifies the content of each input, by its path below the study's folder; empty, while the stage
            runs, for a folder that several outputs lie in.
        made_by: the records of those inputs that are whole outputs, and of theirs; without files and ``made_by``.
        files: SHA-256 of every file of the output; of data and splits, the hash of their content.
    """

    stage: str
    item: Item
    code: dict[str, str]
    params: dict[str, Any]
    inputs: dict[str, str]
    made_by: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def begun(stage: str, item: Item, params: dict[str, Any], study: Path) -> Record:
    """The record of what a stage is about to make.

    Args:
        stage: its name in dvc.yaml.
        item: its command line's options.
        params: as params.yaml has them.
        study: the study's folder.
    """
    code, values, paths = _declared(stage, item, params)
    inputs = {path: "" if _holds_outputs(study, path) else content(study, path) for path in paths}
    made_by: dict[str, dict[str, Any]] = {}
    for path in paths:
        above = read(study / path)
        if above is not None and path == _output(path) and not _identified(path):
            made_by |= above.made_by | {path: _own(above)}
    known = {path: identity for path, identity in inputs.items() if identity is not None}
    return Record(stage, item, code, values, known, made_by)


def write(record: Record, folder: Path, target: Path, study: Path) -> None:
    """Put the record with an output that is complete.

    Args:
        folder: where the output is now.
        target: where it will be, or is.
        study: the study's folder.
    """
    inputs = {path: known or content(study, path) or "" for path, known in record.inputs.items()}
    path = target.relative_to(study).as_posix()
    if _identified(path):
        files, place = {IDENTIFIED[path.split("/")[0]][0]: str(_identity(folder, path))}, _beside(target)
        place.parent.mkdir(parents=True, exist_ok=True)
    else:
        files = {name.relative_to(folder).as_posix(): sha256(name) for name in _files(folder)}
        place = folder / RECORD
    whole = asdict(replace(record, inputs=inputs, files=files))
    place.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def read(output: Path) -> Record | None:
    """The record of an output, given its folder; None where there is none, or one that was cut short."""
    within = output / RECORD
    try:
        return Record(**json.loads((within if within.exists() else _beside(output)).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def content(study: Path, path: str) -> str | None:
    """What identifies the content of an output, a file of one, or a folder of several; None where there is none."""
    place = study / path
    if _identified(path):
        return _identity(study / _output(path), path)
    if not place.exists():
        return None
    record = read(study / _output(path))
    if record is None:
        return _of_several(study, path) if place.is_dir() else sha256(place)
    own = place.relative_to(study / _output(path)).as_posix()
    return _digest(record.files) if own == "." else record.files.get(own)


def made(folder: Path) -> bool:
    """Whether a folder is an output of the pipeline, and holds nothing that somebody else put there."""
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {file.relative_to(folder).as_posix() for file in _files(folder)} <= set(known)


class Present:
    """What a study's results would be made of now, for as long as nobody edits anything.

    Args:
        params: as params.yaml has them.
        study: the study's folder.
    """

    def __init__(self, params: dict[str, Any], study: Path) -> None:
        self.params, self.study = params, study
        self._known: dict[str, str] = {}

    def why_not(self, folder: Path) -> str:
        """Why an output isn't what the present params, code and inputs would make; empty where it is.

        Args:
            folder: an output's folder, below the study's.

        Returns:
            what differs first, going from the data to the output, in words; `dvc repro` mends it.
        """
        path = folder.relative_to(self.study).as_posix()
        if not folder.exists():
            return "not run yet"
        if path not in self._known:
            self._known[path] = ""  # what asks for itself on the way gets no second answer
            self._known[path] = self._why_not(path)
        return self._known[path]

    def _why_not(self, path: str) -> str:
        record = read(self.study / path)
        if record is None or (_identified(path) and content(self.study, path) not in record.files.values()):
            return f"{self.study / path} has no record of what it was made from"
        for entry in [*record.made_by.values(), _own(record)]:
            above = [_output(name) for name in entry["inputs"] if name not in record.made_by]
            for output in above:
                there = (self.study / output).exists() and not _holds_outputs(self.study, output)
                if there and (reason := self.why_not(self.study / output)):
                    return reason
            if reason := self._differs(**entry):
                return reason
        return ""

    def _differs(self, stage: str, item: Item, code: dict[str, str], params: Any, inputs: dict[str, str]) -> str:
        """The first thing that a stage would be given otherwise now, in words."""
        try:
            code_now, params_now, _ = _declared(stage, item, self.params)
        except (KeyError, TypeError):
            return f"made by the stage {stage} or with params that no longer exist"
        for line in differences(params, params_now):
            return f"made with other params ({line})"
        for name in [*code, *code_now]:
            if code.get(name) != code_now.get(name):
                return f"made by other code ({name} has changed)"
        for path, known in inputs.items():
            if (now := content(self.study, path)) is not None and now != known:
                return f"made from another {self.study / path}"
        return ""


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """``methods.dsdh.mu: 0.1 -> 0.2`` for every value that differs between two trees of params."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        inner = {key: f"{name}.{key}" if name else str(key) for key in names}
        return [line for key in names for line in differences(before.get(key), now.get(key), inner[key])]
    return [] if before == now else [f"{name}: {before} -> {now}"]


def _declared(stage: str, item: Item, params: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """What dvc.yaml declares for a stage: hashes of code, values of params, paths of inputs below the study's folder.

    What all cells share is one output of a shared-* stage there; here its code and params are named one by one.
    """
    entry = _entry(stage, item)
    known = {**params, "item": item}
    results, code, inputs = f"results/{params['study']}/", dict[str, str](), []
    names = _param_names(entry, known)
    for dependency in (_filled(text, known) for text in entry["deps"]):
        if dependency.startswith(f"{results}shared/"):
            for shared in _shared(dependency, known):
                code |= {path: _of_code(path) for path in (_filled(text, known) for text in shared["deps"])}
                names = _param_names(shared, known) + names
        elif dependency.startswith(results):
            inputs.append(dependency.removeprefix(results))
        else:
            code[dependency] = _of_code(dependency)
    return code, {name: _shaping(name, _value(params, name)) for name in names}, inputs


def _param_names(entry: dict[str, Any], known: dict[str, Any]) -> list[str]:
    return [_filled(name, known) for name in entry.get("params", [])]


def _shared(dependency: str, known: dict[str, Any]) -> list[dict[str, Any]]:
    """The shared-* stages whose output is the folder ``dependency``, or lies in it."""
    return [
        stage
        for name, stage in _stages(PROJECT / "dvc.yaml").items()
        if name.startswith("shared-") and f"{_filled(stage['outs'][0], known)}/".startswith(f"{dependency}/")
    ]


def _entry(stage: str, item: Item) -> Any:
    """What dvc.yaml says of a stage; one that makes something ``of`` another has that one's name in its own."""
    own = PROJECT / "cells" / stage / "dvc.yaml"
    return _stages(own if own.exists() else PROJECT / "dvc.yaml")[
        "-".join([stage, *([str(item["of"])] if "of" in item else [])])
    ]


@cache
def _stages(file: Path) -> dict[str, Any]:
    stages: dict[str, Any] = parse(file.read_text(encoding="utf-8"))["stages"]
    return stages


def _filled(text: str, known: dict[str, Any]) -> str:
    """A text of dvc.yaml with ``${...}`` replaced, as DVC does it."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(_value(known, found[1])), text)


def _value(tree: Any, name: str) -> Any:
    """``grid.seeds[0]`` in a tree of params."""
    for key, place in re.findall(r"([^.\[\]]+)|\[(\d+)\]", name):
        tree = tree[key] if key else tree[int(place)]
    return tree


def _shaping(name: str, value: Any) -> Any:
    """A section without those of its values that shape no result."""
    return {key: part for key, part in value.items() if key not in PLACES[name]} if name in PLACES else value


@cache
def _of_code(path: str) -> str:
    """SHA-256 of a file, or of the files of a folder and their names; asked once a process, which runs one version."""
    place = PROJECT / path
    if place.is_dir():
        return _digest({file.relative_to(place).as_posix(): sha256(file) for file in _files(place)})
    return sha256(place) if place.exists() else "missing"


def _files(folder: Path) -> list[Path]:
    """What counts of a folder: no record, nothing that Python, Numba or a file manager leaves there.

    As in .dvcignore: Numba keeps what it has compiled in ``__pycache__``, too.
    """
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and "__pycache__" not in file.relative_to(folder).parts
        and file.suffix != ".pyc"
        and file.name not in (RECORD, ".DS_Store", "Thumbs.db")
    )


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(parts: Mapping[str, str | None]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(folder: Path, path: str) -> str | None:
    """What the data, or a split, in ``folder`` say of their content."""
    file, key = IDENTIFIED[path.split("/")[0]]
    try:
        found: str = json.loads((folder / file).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def _of_several(study: Path, path: str) -> str:
    children = sorted(child.name for child in (study / path).iterdir() if child.is_dir())
    return _digest({name: content(study, f"{path}/{name}") for name in children})


def _own(record: Record) -> dict[str, Any]:
    """A record without what made its inputs, and without its files."""
    return {key: value for key, value in asdict(record).items() if key not in ("made_by", "files")}


def _identified(path: str) -> bool:
    return path.split("/")[0] in IDENTIFIED


def _holds_outputs(study: Path, path: str) -> bool:
    """Whether it is no output itself, but what several outputs lie in."""
    return (study / path).is_dir() and not (study / path / RECORD).exists() and not _identified(path)


def _output(path: str) -> str:
    """The output that a path below the study's folder lies in: ``tuning/dsdh-wr-16`` for its ``choice.json``."""
    parts = path.split("/")
    return "/".join(parts[: 1 if parts[0] in ("data", "tables", "report") else 2])


def _beside(output: Path) -> Path:
    return output.with_name(f"{output.name}.{RECORD}")
