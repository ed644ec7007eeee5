"""Provenance: record what a result was made of, and check whether it is up to date.

When a stage starts, it records hashes of its code, its params, and the identities of its inputs, as dvc.yaml declares
them for the stage. The record is stored with the output as ``made_of.json`` in its folder, so it is restored, pulled
and copied together with the output. ``Present`` compares records with the present code, params and files.

The prepared data, the features and the splits are identified by hashes of their content, so re-making them with equal
content changes nothing for later stages. Their records are therefore stored outside the folders that later stages
depend on (``data.prepared.made_of.json``).
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.runtime.yaml12 import parse

#: The folder of the running code: it holds dvc.yaml, stages/ and pipeline/.
PROJECT = Path(__file__).parents[2]
RECORD = "made_of.json"
#: Params, by section, that are left out of records: the location of a file doesn't change a result.
PLACES = {"dataset": ("path",), "split": ("folder",)}
#: Outputs identified by their content: the JSON file and the key in it that hold the content's hash.
IDENTIFIED = {"data": ("manifest.json", "content_hash"), "splits": ("split.json", "split_hash")}

Item = dict[str, str | int]


@dataclass(frozen=True)
class Record:
    """What an output was made of.

    Args:
        stage: the stage's name in dvc.yaml.
        item: the stage's command-line options.
        code: SHA-256 of every code file and folder that dvc.yaml names as a dependency of the stage.
        params: the values of params.yaml that the stage depends on, by their dotted names.
        inputs: identity of each input's content, by its path below the study's folder. While the stage runs, it is
            empty for a folder that holds several outputs.
        made_by: the records of the inputs that are whole outputs, and recursively of their inputs, by path, without
            ``files`` and ``made_by``. Data and splits are left out.
        files: SHA-256 of every file of the output; for data and splits, the hash of their content.
    """

    stage: str
    item: Item
    code: dict[str, str]
    params: dict[str, Any]
    inputs: dict[str, str]
    made_by: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def begun(stage: str, item: Item, params: Params, study: Path) -> Record:
    """Make the record of a stage that starts now.

    Args:
        stage: the stage's name in dvc.yaml.
        item: the stage's command-line options.
        params: the content of params.yaml.
        study: the study's folder.
    """
    code, values, declared = _declared(stage, item, params)
    paths = [part for path in declared for part in _parts(study, path)]
    inputs = {path: "" if _holds_outputs(study, path) else content(study, path) for path in paths}
    made_by: dict[str, dict[str, Any]] = {}
    for path in paths:
        above = read(study / path)
        if above is not None and path == _output(path) and not _identified(path):
            made_by |= above.made_by | {path: _own(above)}
    known = {path: identity for path, identity in inputs.items() if identity is not None}
    return Record(stage, item, code, values, known, made_by)


def write(record: Record, folder: Path, target: Path, study: Path) -> None:
    """Store the record of a complete output: in its folder, or outside for what is identified by its content.

    Args:
        record: as ``begun`` made it.
        folder: the folder that holds the output now.
        target: the output's final folder.
        study: the study's folder.
    """
    inputs = {path: known or content(study, path) or "" for path, known in record.inputs.items()}
    path = target.relative_to(study).as_posix()
    if _identified(path):
        files, place = {IDENTIFIED[path.split("/")[0]][0]: str(_identity(folder, path))}, _outside(target)
        place.parent.mkdir(parents=True, exist_ok=True)
    else:
        files = {name.relative_to(folder).as_posix(): sha256(name) for name in _files(folder)}
        place = folder / RECORD
    whole = asdict(replace(record, inputs=inputs, files=files))
    partial = place.with_name(f"{place.name}.partial")  # the file there may be a link to DVC's cache
    partial.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, place)


def read(output: Path) -> Record | None:
    """Read the record of an output, given its folder; None if the record is missing or truncated."""
    within = output / RECORD
    try:
        return Record(**json.loads((within if within.exists() else _outside(output)).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def content(study: Path, path: str) -> str | None:
    """Identity (a hash) of the content of an output, of a file in one, or of a folder that holds several outputs.

    Args:
        study: the study's folder.
        path: the output, file or folder, relative to ``study``.

    Returns:
        the hash, or None if nothing is found there.
    """
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
    """Whether a folder is an output of the pipeline and holds only files that are in its record."""
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {file.relative_to(folder).as_posix() for file in _files(folder)} <= set(known)


class Present:
    """Compares the records of a study's outputs with the present code, params and inputs.

    Answers are cached: make a new object after an edit.

    Args:
        params: the content of params.yaml.
        study: the study's folder.
    """

    def __init__(self, params: Params, study: Path) -> None:
        self.params, self.study = params, study
        self._known: dict[str, str] = {}

    def why_not(self, folder: Path) -> str:
        """Why an output is out of date with respect to the present params, code and inputs.

        Args:
            folder: an output's folder, inside the study's folder.

        Returns:
            the first difference on the way from the data to the output, in words; `dvc repro` removes it. Empty if
            the output is up to date.
        """
        path = folder.relative_to(self.study).as_posix()
        if not folder.exists():
            return "not run yet"
        if path not in self._known:
            self._known[path] = ""  # ends the recursion if the same path is reached again
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
        """The first difference between a record and the stage's present code, params and inputs; empty if none."""
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
    """A line such as ``methods.dsdh.mu: 0.1 -> 0.2`` for every value that differs between two trees of params."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        inner = {key: f"{name}.{key}" if name else str(key) for key in names}
        return [line for key in names for line in differences(before.get(key), now.get(key), inner[key])]
    return [] if before == now else [f"{name}: {before} -> {now}"]


def _declared(stage: str, item: Item, params: Params) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """The dependencies of a stage in dvc.yaml: code hashes, param values, input paths below the study's folder.

    In dvc.yaml, the code and params that all cells share are one dependency, the output of a shared-* stage. Here
    that stage's own dependencies and params are listed instead.
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
    """The shared-* stages whose output is the folder ``dependency`` or is inside it."""
    return [
        stage
        for name, stage in _stages(PROJECT / "dvc.yaml").items()
        if name.startswith("shared-") and f"{_filled(stage['outs'][0], known)}/".startswith(f"{dependency}/")
    ]


def _entry(stage: str, item: Item) -> Any:
    """A stage's entry in dvc.yaml. If the item has ``of``, the entry's name is ``<stage>-<of>``."""
    own = PROJECT / "cells" / stage / "dvc.yaml"
    return _stages(own if own.exists() else PROJECT / "dvc.yaml")[
        "-".join([stage, *([str(item["of"])] if "of" in item else [])])
    ]


@cache
def _stages(file: Path) -> dict[str, Any]:
    stages: dict[str, Any] = parse(file.read_text(encoding="utf-8"))["stages"]
    return stages


def _filled(text: str, known: dict[str, Any]) -> str:
    """Replace each ``${...}`` in a text of dvc.yaml by its value, as DVC does."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(_value(known, found[1])), text)


def _value(tree: Any, name: str) -> Any:
    """The value at a dotted name such as ``grid.seeds[0]`` in a tree of params."""
    for key, place in re.findall(r"([^.\[\]]+)|\[(\d+)\]", name):
        tree = tree[key] if key else tree[int(place)]
    return tree


def _shaping(name: str, value: Any) -> Any:
    """A section without the values listed in ``PLACES``."""
    return {key: part for key, part in value.items() if key not in PLACES[name]} if name in PLACES else value


@cache
def _of_code(path: str) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files.

    Cached, since a process runs one version of the code.
    """
    place = PROJECT / path
    if place.is_dir():
        return _digest({file.relative_to(place).as_posix(): sha256(file) for file in _files(place)})
    return sha256(place) if place.exists() else "missing"


def _files(folder: Path) -> list[Path]:
    """A folder's files, sorted, without the record and without files of Python, Numba or a file manager.

    The same rules as in .dvcignore. Numba also keeps its compiled code in ``__pycache__``.
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
    """The content hash that the data or split in ``folder`` stores about itself; None if it can't be read."""
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
    """A record as a dict without ``made_by`` and ``files``."""
    return {key: value for key, value in asdict(record).items() if key not in ("made_by", "files")}


def _parts(study: Path, path: str) -> list[str]:
    """The outputs in a folder that holds several which are identified by their content; else the path itself."""
    if path not in IDENTIFIED or not (study / path).is_dir():
        return [path]
    return [f"{path}/{child.name}" for child in sorted((study / path).iterdir()) if child.is_dir()]


def _identified(path: str) -> bool:
    """Whether a path is in an output that is identified by its content; False for a folder that holds several."""
    folder, _, inside = path.partition("/")
    return folder in IDENTIFIED and inside != ""


def _holds_outputs(study: Path, path: str) -> bool:
    """Whether ``path`` is a folder that holds several outputs and isn't an output itself."""
    return (study / path).is_dir() and not (study / path / RECORD).exists() and not _identified(path)


def _output(path: str) -> str:
    """The output that contains a path: ``tuning/dsdh-wr-16`` for ``tuning/dsdh-wr-16/choice.json``."""
    parts = path.split("/")
    return "/".join(parts[: 1 if parts[0] in ("tables", "report") else 2])


def _outside(output: Path) -> Path:
    """Where the record of an output that is identified by its content is stored."""
    return output.parent.with_name(f"{output.parent.name}.{output.name}.{RECORD}")
