"""Sections of params.yaml as typed dictionaries: how one is declared, made at run time and taken apart."""

from typing import Any, NotRequired, get_args, get_origin

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_CLOSED = with_config(ConfigDict(extra="forbid", strict=True))
_OPEN = with_config(ConfigDict(extra="allow", strict=True))


def section(kind: Any) -> Any:
    """Decorate a typed dictionary: unknown keys are errors, and a string is never accepted as a number."""
    return _CLOSED(kind)


def made(name: str, fields: dict[str, Any], *, closed: bool = True) -> Any:
    """Make a typed dictionary.

    Args:
        name: its name in the JSON schema.
        fields: type by key; ``NotRequired[...]`` if the key may be missing.
        closed: whether unknown keys are errors.
    """
    return (_CLOSED if closed else _OPEN)(TypedDict(name, fields))  # type: ignore[operator]


def keys(kind: Any) -> dict[str, Any]:
    """The types of a typed dictionary by key; empty for any other type."""
    return dict(kind.__annotations__) if is_section(kind) else {}


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def optional(annotation: Any) -> bool:
    """Whether a key with this type may be missing."""
    return get_origin(annotation) is NotRequired


def required(annotation: Any) -> Any:
    """The type without ``NotRequired[...]``."""
    return get_args(annotation)[0] if optional(annotation) else annotation
