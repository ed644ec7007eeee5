"""Studies: params.yaml is ``studies/defaults.yaml`` overridden by the values of one file in ``studies/``."""

import io
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.params.check import check
from pipeline.runtime.errors import UserError
from pipeline.runtime.provenance import differences
from pipeline.runtime.registry import nearest
from pipeline.runtime.yaml12 import NotYaml, parse

PARAMS = Path("params.yaml")
FOLDER = Path("studies")
DEFAULTS = "defaults.yaml"
#: Sections whose keys depend on the dataset or the protocol; a study replaces them as a whole. The backbone of the
#: defaults has no keys of its own, so a study may add to that section.
GIVEN_WHOLE = ("dataset", "split")
EDITORS = "# yaml-language-server: $schema=studies/params.schema.json\n"


def names(folder: Path = FOLDER) -> list[str]:
    """Names of all studies in ``folder``, sorted."""
    return sorted(file.stem for file in folder.glob("*.yaml") if file.name != DEFAULTS)


def listed(folder: Path = FOLDER) -> str:
    """A list of all studies for printing: each line has a name and the first line of the study's file."""
    return "\n".join(f"  {name:<22}{_first_line(folder / f'{name}.yaml')}" for name in names(folder))


def _first_line(file: Path) -> str:
    return next(iter(_text(file).splitlines()), "").removeprefix("# ")


def compose(name: str, folder: Path = FOLDER) -> str:
    """Compose the text of params.yaml for a study; comments of both files are kept.

    Args:
        name: the study, such as ``digits`` for ``studies/digits.yaml``.
        folder: holds ``defaults.yaml`` and the studies.

    Raises:
        UserError: there is no such study, or the resulting params are invalid; one line per mistake.
    """
    if name not in names(folder):
        raise UserError(f"no study {name!r}{nearest(name, names(folder))}; known: {', '.join(names(folder))}")
    file = folder / f"{name}.yaml"
    own = _loaded(file)
    own["study"] = name
    text = EDITORS + _head(_text(file)) + "\n"
    for before, key, body in _sections(_text(folder / DEFAULTS)):
        text += before + (_merged(key, body, own) if key in own else body)
        own.pop(key, None)
    problems = [f"{key}: no such section in {DEFAULTS}" for key in own] or check(parse(text))
    if problems:
        raise UserError("\n".join(f"{file}: {problem}" for problem in problems))
    return text


def write(name: str, *, force: bool = False, folder: Path = FOLDER, params: Path = PARAMS) -> str:
    """Write params.yaml for a study.

    Args:
        name: the study.
        force: overwrite uncommitted edits of params.yaml.
        folder: holds ``defaults.yaml`` and the studies.
        params: the file to write.

    Returns:
        a message with one line per changed value.

    Raises:
        UserError: as in ``compose``, or params.yaml has uncommitted edits and ``force`` is False.
    """
    text = compose(name, folder)
    before = _text(params) if params.exists() else ""
    if before and before != text and not force and (lost := _edits(before, folder, params)):
        raise UserError(
            f"{params} has edits that git doesn't have ({lost}); commit it or copy it away first, or say FORCE=1 "
            "(--force) to overwrite it"
        )
    aside = params.with_name(f"{params.name}.partial")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, params)
    changed = differences(_parsed(before), parse(text))
    lines = [f"  {line}" for line in changed] or ["  nothing changed"]
    return "\n".join(
        [f"{params} is now that of the study {name!r} ({folder / name}.yaml over {folder / DEFAULTS}):", *lines]
    )


def _edits(before: str, folder: Path, params: Path) -> str:
    """The first edit of params.yaml that is neither in git nor in a study; empty if there is none."""
    committed = _committed(params)
    if before == committed:
        return ""
    studies = list(_valid(folder))
    if before in studies:
        return ""
    found = _parsed(before)
    closest = min((differences(parse(text), found) for text in (committed, *studies) if text), key=len)
    return f"{closest[0]}{', ...' if len(closest) > 1 else ''}" if closest else "comments"


def _valid(folder: Path) -> Iterator[str]:
    """The texts of params.yaml for all studies that are valid."""
    for name in names(folder):
        with suppress(UserError):  # an invalid study isn't what params.yaml was written from
            yield compose(name, folder)


def _committed(params: Path) -> str | None:
    """The committed content of the file; None if git doesn't track it."""
    try:
        found = subprocess.run(
            ["git", "show", f"HEAD:./{params.name}"], cwd=params.resolve().parent, capture_output=True, check=False
        )
    except OSError:  # no git on this machine
        return None
    return found.stdout.decode("utf-8", "replace") if found.returncode == 0 else None


def _parsed(text: str) -> Any:
    """Parse a file's text; empty if it isn't YAML, so that every new value counts as changed."""
    try:
        return parse(text) or {}
    except NotYaml:
        return {}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: can't be read ({error})") from None


def _loaded(file: Path) -> Any:
    """A study's own values, with their comments."""
    try:
        parse(_text(file))
    except NotYaml as error:
        raise UserError(f"{file}:{error}") from None
    found = _yaml().load(_text(file))
    if found is not None and not isinstance(found, CommentedMap):
        raise UserError(f"{file}: expected sections such as 'dataset:' and 'grid:', found none")
    return CommentedMap() if found is None else found


def _yaml() -> YAML:
    reader = YAML()  # keeps comments and layout
    reader.width = 4096
    reader.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return reader


def _head(text: str) -> str:
    """The comment that a file begins with."""
    found = re.match(r"(#.*\n)*", text)
    assert found is not None
    return found[0]


def _sections(text: str) -> Iterator[tuple[str, str, str]]:
    """Blank lines and comments before a section, its key, and the section; without the file's first comment."""
    for found in re.finditer(r"((?:^\n|^#.*\n)*)(^(\w+):.*\n(?:^ .*\n)*)", text[len(_head(text)) :].lstrip("\n"), re.M):
        yield found[1], found[3], found[2]


def _merged(key: str, body: str, own: CommentedMap) -> str:
    """The text of a section of the defaults with a study's values filled in."""
    section = _yaml().load(body)
    if key in GIVEN_WHOLE:
        _replace(section, key, own)
        _take_comments(section[key], _yaml().load(body)[key])
    else:
        _merge(section, key, own)
    stream = io.StringIO()
    _yaml().dump(section, stream)
    return stream.getvalue().rstrip("\n") + "\n"


def _merge(into: CommentedMap, key: str, given: CommentedMap) -> None:
    """Replace ``into[key]`` by ``given[key]``, value by value if both are sections in block style."""
    value, before = given[key], into.get(key)
    if isinstance(value, CommentedMap) and isinstance(before, CommentedMap) and not value.fa.flow_style():
        for inner in value:
            _merge(before, inner, value)
    else:
        _replace(into, key, given)


def _replace(into: CommentedMap, key: str, given: CommentedMap) -> None:
    """Replace a value and, if the new value has a comment, the comment."""
    into[key] = given[key]
    if (comment := _comment(given, key)) is not None:
        into.ca.items[key] = comment
    elif isinstance(given[key], CommentedMap) and not given[key].fa.flow_style():
        into.ca.items.pop(key, None)


def _take_comments(section: CommentedMap, before: CommentedMap) -> None:
    """Copy comments from ``before`` to the keys of ``section`` that have none."""
    for key in section:
        if _comment(section, key) is None and (comment := _comment(before, key)) is not None:
            section.ca.items[key] = comment


def _comment(section: CommentedMap, key: str) -> Any:
    """The comment on the same line as a value, without blank lines and comments on the following lines."""
    found = section.ca.items.get(key)
    if not found or not found[2] or not found[2].value.strip():
        return None
    found[2].value = found[2].value.split("\n\n")[0].rstrip("\n") + "\n"
    return found
