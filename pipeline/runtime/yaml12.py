"""Parse YAML exactly as DVC does, so that both read the same values."""

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class NotYaml(ValueError):
    """A text isn't YAML. The message is one line that begins with the position (`` line 3: ...``) if it is known."""


def parse(text: str) -> Any:
    """Parse one document as YAML 1.2 with ruamel.yaml in safe mode, as DVC does.

    So ``yes`` is a string, ``010`` is 10, duplicate keys are errors, ``<<`` merges, and tags create no objects.

    Raises:
        NotYaml: the text isn't YAML, or has two documents, an unknown tag or an impossible date.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError) as error:
        raise NotYaml(f"{_place(error, text)} {_reason(error)}") from None


def _place(error: Exception, text: str) -> str:
    mark = getattr(error, "problem_mark", None)
    # An error at the end of the text is reported on the last line, not after it.
    return f" line {min(mark.line + 1, len(text.splitlines()))}:" if mark else ""


def _reason(error: Exception) -> str:
    """The parser's message in one line, without its advice to programmers."""
    words = " ".join(str(getattr(error, "problem", None) or error).split())
    twice = re.match(r'found duplicate key "(.*?)"', words)
    return f"the key {twice[1]!r} occurs twice; keep one" if twice else f"not YAML: {words}"
