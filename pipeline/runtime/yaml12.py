"""YAML as DVC reads it, so that a value is the same to both."""

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class NotYaml(ValueError):
    """What is wrong with a text, in one line that begins with its place (`` line 3: ...``) where that is known."""


def parse(text: str) -> Any:
    """A document's content: YAML 1.2 by ruamel.yaml in its safe mode, DVC's own choice.

    So ``yes`` is text and ``010`` is 10; no key may stand twice, ``<<`` merges, and no tag makes an object.

    Raises:
        NotYaml: it isn't YAML, has two documents, a tag of another kind, or a date that there isn't.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError) as error:
        raise NotYaml(f"{_place(error, text)} {_reason(error)}") from None


def _place(error: Exception, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    # What is missing at the end is missing on the last line, not after it.
    return f" line {min(mark.line + 1, len(text.splitlines()))}:" if mark else ""


def _reason(error: Exception) -> str:
    """The parser's own words, in one line and without its advice to programmers."""
    words = " ".join(str(getattr(error, "problem", None) or error).split())
    twice = re.match(r'found duplicate key "(.*?)"', words)
    return f"the key {twice[1]!r} occurs twice; keep one" if twice else f"not YAML: {words}"
