"""Read params.yaml and check it whole; every mistake is one line."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.params.schema import Named, model, own, room
from pipeline.runtime.errors import UserError
from pipeline.runtime.registry import nearest


class Loader(yaml.SafeLoader):
    """YAML 1.2's numbers, as DVC reads them (``1e-3`` is a number), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise UserError(f"line {line}: the key {key!r} stands there twice; keep one")
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read(path: Path = Path("params.yaml")) -> dict[str, Any]:
    """Read and check a params file.

    Returns:
        the file's content, just as it stands there.

    Raises:
        UserError: the file is missing, isn't YAML or breaks the schema; one line a mistake.
    """
    try:
        content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run in the project's root, or copy one of studies/ there") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        raise UserError(f"{path}:{where} not YAML: {getattr(error, 'problem', error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    problems = check(content)
    if problems:
        raise UserError("\n".join(f"{path}: {problem}" for problem in problems))
    return content


def check(content: Any) -> list[str]:
    """All that is wrong with a params file's content, one line each; empty when nothing is."""
    if not isinstance(content, dict):
        return ["expected sections such as 'dataset:' and 'grid:', found none"]
    problems = []
    named = Named(_named(content, "dataset", "name", "datasets"), _named(content, "split", "protocol", "protocols"))
    try:
        model(named).model_validate(content)
    except ValidationError as error:
        problems = [_line(dict(details), named) for details in error.errors()]
    return list(dict.fromkeys(problems + _across_sections(content)))


def _named(content: dict[str, Any], section: str, key: str, place: str) -> str | None:
    """The entry of a room that a section names, if there is one of that name."""
    found = content.get(section)
    name = found.get(key) if isinstance(found, dict) else None
    return name if isinstance(name, str) and name in room(place) else None


def _across_sections(content: dict[str, Any]) -> list[str]:
    """What no section can see by itself. Malformed sections are skipped: the schema has named them."""
    problems = []
    grid, training = content.get("grid"), content.get("training")
    methods = grid.get("methods") if isinstance(grid, dict) else None
    if isinstance(methods, dict):
        lists = {name: used for name, used in methods.items() if isinstance(used, list)}
        quantizers = [q for used in lists.values() for q in used if isinstance(q, str)]
        for section, names in (("methods", [m for m in lists if lists[m]]), ("quantizers", quantizers)):
            given = content.get(section)
            for name in dict.fromkeys(names):
                if isinstance(given, dict) and given.get(name) is None and name in room(section):
                    problems.append(f"{section}.{name}: missing, but the grid uses it; expected its section")
    if isinstance(training, dict):
        epochs, every = training.get("epochs"), training.get("validate_every")
        if type(epochs) is int and type(every) is int and every > epochs > 0:  # a bool is no number here
            problems.append(f"training.validate_every: expected at most training.epochs ({epochs}), found {every}")
    return problems


def _line(error: dict[str, Any], named: Named) -> str:
    """One pydantic error in the project's words: key, what was expected, what was found, what to do."""
    key = ".".join(str(part) for part in error["loc"])
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        *parents, last = error["loc"]
        known = _fields(tuple(parents), named)
        if len(parents) == 1 and parents[0] in named.sections:
            what, place, entry = named.sections[parents[0]]
            if others := [name for name in room(place) if last in own(place, name)]:
                takes = ", ".join(own(place, str(entry))) or "no numbers"
                return f"{key}: {what} {entry!r} takes {takes}; {last} is for {' or '.join(map(repr, others))}"
        hint = nearest(str(last), known) or f"; known here: {', '.join(known)}"
        return f"{key}: unknown key{hint}"
    if kind == "missing":
        extra = "; an empty list [] leaves the method out" if key.startswith("grid.methods.") else ""
        return f"{key}: missing; expected {_expected(error['loc'], named)}{extra}"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(found, words) if isinstance(found, str) else ""
        return f"{key}: expected one of {', '.join(words)}; found {found!r}{hint}"
    if kind == "model_type":
        return f"{key}: expected {_expected(error['loc'], named)}; found {_short(found)}"
    if kind == "alternatives":
        return f"{key}: expected {error['msg']}"
    if kind == "value_error":
        return f"{key}: expected {context['error']}; found {_short(found)}"
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{key}: expected {expected}; found {_short(found)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _model(location: tuple[Any, ...], named: Named) -> Any:
    """The schema's type at a place in the file: a model for a section, a field for a value."""
    here: Any = model(named)
    for part in location:
        fields = getattr(here, "model_fields", {})
        if part not in fields:
            return None
        annotation = fields[part].annotation
        choices = [a for a in getattr(annotation, "__args__", ()) if _is_model(a)]
        here = annotation if _is_model(annotation) else choices[0] if choices else fields[part]
    return here


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)


def _fields(location: tuple[Any, ...], named: Named) -> list[str]:
    return list(getattr(_model(location, named), "model_fields", {}))


def _expected(location: tuple[Any, ...], named: Named) -> str:
    here = _model(location, named)
    if _is_model(here):
        return f"a section with {', '.join(here.model_fields) or 'no keys ({})'}"
    words = getattr(getattr(here, "annotation", None), "__args__", None)
    if words and all(isinstance(word, str) for word in words):
        return f"one of {', '.join(words)}"
    return "a value"
