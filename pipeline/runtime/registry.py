"""Registries based on folders: each method, quantizer, dataset, protocol or backbone is one file in a package.

Names are read from the package's folder, so a new file needs no entry in a list. A file is imported only when its
entry is requested, so a stage imports only what its cell uses.
"""

import difflib
import importlib
import inspect
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.runtime.errors import UserError

Base = TypeVar("Base")


def nearest(word: str, known: list[str]) -> str:
    """A hint such as ``" (did you mean 'wr'?)"``; empty if no known word is similar."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def file_names(folder: Path) -> list[str]:
    """Names of the Python files in ``folder``, sorted, without those that begin with ``_``."""
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


class Registry(Generic[Base]):
    """The classes that the files of one package define, by file name.

    Args:
        package: the package's dotted name, such as ``pipeline.methods``.
        kind: what an entry is called in messages, such as ``method``.
        base: the class that every entry derives from.
        reserved: argument names that entries must not use, since in tuning they name a training parameter.
    """

    def __init__(self, package: str, kind: str, base: type[Base], reserved: tuple[str, ...] = ()) -> None:
        self.package = package
        self.kind = kind
        self.base = base
        self.reserved = reserved

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return file_names(Path(str(importlib.import_module(self.package).__file__)).parent)

    def get(self, name: str) -> type[Base]:
        """The class that the file called ``name`` defines.

        Raises:
            UserError: no such name (the message lists the known ones), or an argument has a reserved name, or the
                file defines no class derived from the registry's base class.
        """
        if name not in self.names():
            known = ", ".join(self.names())
            raise UserError(f"unknown {self.kind} {name!r}{nearest(name, self.names())}; known: {known}")
        module = importlib.import_module(f"{self.package}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, self.base) and value.__module__ == module.__name__:
                if taken := sorted(set(inspect.signature(value).parameters) & set(self.reserved)):
                    raise UserError(
                        f"{module.__file__}: {self.kind} {name!r} has an argument {taken[0]!r}, which tuning uses for "
                        "a training parameter; rename it"
                    )
                return value
        raise UserError(f"{module.__file__} defines no class derived from {self.base.__name__}")

    def create(self, name: str, **arguments: Any) -> Base:
        """Make an instance of the entry called ``name``.

        Args:
            name: a registered name.
            arguments: the entry's keyword-only arguments, checked against their annotations.

        Raises:
            UserError: an unknown name, an unknown or missing argument, or an argument out of its range.
        """
        entry = self.get(name)
        taken = {p.name: p for p in inspect.signature(entry).parameters.values() if p.kind is p.KEYWORD_ONLY}
        for argument, value in arguments.items():
            if argument not in taken:
                hint = nearest(argument, list(taken))
                takes = ", ".join(taken) or "none"
                raise UserError(f"{self.kind} {name!r} takes no {argument!r}{hint}; it takes: {takes}")
            try:
                TypeAdapter(taken[argument].annotation).validate_python(value, strict=True)
            except ValidationError as error:
                what = error.errors()[0]["msg"]
                raise UserError(f"{self.kind} {name!r}, {argument}: {what}; found {value!r}") from None
        missing = [p.name for p in taken.values() if p.default is p.empty and p.name not in arguments]
        if missing:
            raise UserError(f"{self.kind} {name!r} needs {', '.join(missing)}")
        return entry(**arguments)
