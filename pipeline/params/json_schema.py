"""The JSON schema of params.yaml, by which editors complete and check it and show what a key means."""

import json
import re
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from pipeline.params.schema import CHOSEN, PACKAGES, Params, entries
from pipeline.params.sections import keys, made
from pipeline.params.signatures import described, title

FOLDER = Path("studies")
NAME = "params.schema.json"
#: Sections of params.yaml with a key for each file of a package, and that package.
_BY_FILE = {"methods": "methods", "quantizers": "quantizers", "candidates": "quantizers"}


def json_schema(folder: Path = FOLDER) -> dict[str, Any]:
    """The JSON schema.

    A key's description is its comment in ``defaults.yaml``. Arguments of methods, quantizers, datasets, protocols and
    backbones without a comment have that of their docstring.

    Args:
        folder: holds ``defaults.yaml``.
    """
    variants: dict[str, Any] = {}
    for name, chosen in CHOSEN.items():
        kinds = [
            made(f"{chosen.base.__name__} {entry}", chosen.keys(entry) | {chosen.key: Literal[entry]})
            for entry in entries(chosen.package)
        ]
        variants[name] = Annotated[reduce(or_, kinds), Field(discriminator=chosen.key)]
    found = TypeAdapter(made("Params", keys(Params) | variants)).json_schema()
    _describe(found, "", found["$defs"], comments((folder / "defaults.yaml").read_text(encoding="utf-8")))
    return found


def write_json_schema() -> str:
    """Write the JSON schema beside the studies and return a message that names the file."""
    path = FOLDER / NAME
    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    return f"{path}: written"


def comments(text: str) -> dict[str, str]:
    """The comments behind keys of a YAML file in block style, by dotted key.

    A comment goes on in the lines below that have nothing but a comment and are indented further than any key.
    """
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    last = None
    for line in text.splitlines():
        if key := re.match(r"( *)([\w-]+):[^#]*(?:# (.*))?$", line):
            depth = len(key[1])
            parents = [(indent, name) for indent, name in parents if indent < depth] + [(depth, key[2])]
            last = ".".join(name for _, name in parents) if key[3] else None
            if last:
                found[last] = key[3]
        elif last and (more := re.match(r" {10,}# (.*)$", line)):
            found[last] += f" {more[1]}"
        else:
            last = None
    return found


def _describe(node: dict[str, Any], path: str, definitions: dict[str, Any], texts: dict[str, str]) -> None:
    """Add descriptions to the properties below ``node``, whose dotted key is ``path``."""
    for other in (node, *node.get("oneOf", ()), *node.get("anyOf", ())):
        if reference := other.get("$ref"):
            _describe(definitions[reference.rpartition("/")[2]], path, definitions, texts)
    own = _docstring(path, node)
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        if text := texts.get(here) or own.get(name):
            child["description"] = text
        _describe(child, here, definitions, texts)


def _docstring(path: str, node: dict[str, Any]) -> dict[str, str]:
    """What the files of the library say: about each file's section, and about the arguments in this section."""
    section, _, entry = path.partition(".")
    if section in _BY_FILE and not entry:
        folder = PACKAGES / _BY_FILE[section]
        return {name: title(folder / f"{name}.py") for name in entries(_BY_FILE[section])}
    if section in _BY_FILE and entry in entries(_BY_FILE[section]):
        return described(PACKAGES / _BY_FILE[section] / f"{entry}.py")
    if path in CHOSEN and (entry := node.get("properties", {}).get(CHOSEN[path].key, {}).get("const")):
        return described(PACKAGES / CHOSEN[path].package / f"{entry}.py")
    return {}
