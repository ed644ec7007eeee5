"""Read the arguments of methods, quantizers, datasets, protocols and backbones without importing their files.

Importing a method imports torch, which takes seconds. The schema needs only the names, types and ranges of the
keyword-only arguments, and whether a method is trained. So the file is parsed, and only the annotations are evaluated.
"""

import ast
import re
from functools import cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NotRequired, get_args, get_origin

from pipeline.params.sections import made
from pipeline.runtime import ranges

#: Arguments that the training loop passes, so params.yaml doesn't contain them.
GIVEN = ("code_length", "num_classes", "num_train")
KNOWN_TYPES = {"Literal": Literal, "bool": bool, "int": int, "float": float, "str": str, **vars(ranges)}


@cache
def hyperparameters(file: Path) -> Any:
    """A section with the keyword-only arguments of the class that ``file`` defines."""
    return made(file.stem, arguments(file))


def arguments(file: Path) -> dict[str, Any]:
    """The keyword-only arguments of the class that ``file`` defines, without those in ``GIVEN``.

    Arguments are required even if they have a default in the file, so that every value is in params.yaml. Only
    arguments whose default is None are optional.

    Returns:
        the types by name, inside ``NotRequired[...]`` if optional.
    """
    fields: dict[str, Any] = {}
    for function in _members(file):
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
                if argument.arg not in GIVEN and argument.annotation is not None:
                    optional = isinstance(default, ast.Constant) and default.value is None
                    kind = _type(argument)
                    fields[argument.arg] = NotRequired[kind] if optional else kind
    return fields


def declares(file: Path, attribute: str, value: Any = True) -> bool:
    """Whether the class that ``file`` defines sets the class attribute ``attribute`` to ``value``."""
    wanted = f"{attribute} = {value!r}"
    return any(isinstance(line, ast.Assign) and ast.unparse(line) == wanted for line in _members(file))


def described(file: Path) -> dict[str, str]:
    """What the docstring of the class that ``file`` defines says about each argument, in one line each."""
    docstrings = [ast.get_docstring(node) for node in _tree(file).body if isinstance(node, ast.ClassDef)]
    found: dict[str, str] = {}
    for text in docstrings:
        part = re.search(r"^Args:\n((?: .*\n?)+)", text or "", re.MULTILINE)
        for name, said in re.findall(r"^    (\w+): (.*(?:\n     .*)*)", part[1] if part else "", re.MULTILINE):
            found[name] = " ".join(said.split())
    return found


def title(file: Path) -> str:
    """The first line of the file's docstring."""
    return (ast.get_docstring(_tree(file)) or "").partition("\n")[0]


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _members(file: Path) -> list[ast.stmt]:
    """The statements in the bodies of the classes that ``file`` defines."""
    return [member for node in _tree(file).body if isinstance(node, ast.ClassDef) for member in node.body]


def _type(argument: ast.arg) -> Any:
    assert argument.annotation is not None
    annotation = eval(compile(ast.Expression(argument.annotation), "<annotation>", "eval"), dict(KNOWN_TYPES))
    if isinstance(annotation, UnionType):
        return reduce(or_, [_section(argument.arg, kind) for kind in get_args(annotation)])
    return _section(argument.arg, annotation)


def _section(name: str, annotation: Any) -> Any:
    """Turn ``dict[Literal[...], T]`` into a section with exactly these keys; return any other type unchanged."""
    if get_origin(annotation) is not dict or get_origin(get_args(annotation)[0]) is not Literal:
        return annotation
    keys, value = get_args(annotation)
    return made(name, dict.fromkeys(get_args(keys), value))
