"""Hyperparameters of methods and quantizers, read off their files without importing them.

Importing a method imports torch (seconds); the schema needs no more than the names, types and ranges of
its keyword-only arguments. So the file is parsed, and only the annotations are evaluated.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, create_model

from pipeline.params.strict import Strict
from pipeline.runtime import ranges

#: What the training loop gives, so no file has to say it.
GIVEN = ("code_length", "num_classes", "num_train")
KNOWN_TYPES = {"Literal": Literal, "bool": bool, "int": int, "float": float, **vars(ranges)}


@cache
def hyperparameters(file: Path) -> type[BaseModel]:
    """A strict model of the keyword-only arguments of the class that ``file`` defines; none has a default."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    for argument in function.args.kwonlyargs:
                        if argument.arg not in GIVEN and argument.annotation is not None:
                            fields[argument.arg] = (_type(argument.annotation), ...)
    return create_model(file.stem, __base__=Strict, **fields)


def _type(annotation: ast.expr) -> Any:
    return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), dict(KNOWN_TYPES))
