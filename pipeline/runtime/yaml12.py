"""YAML as DVC reads it, so that a value is the same to both."""

from typing import Any


def parse(text: str) -> Any:
    """A document's content: YAML 1.2 by ruamel.yaml in its safe mode, DVC's own choice.

    So ``yes`` is text and ``010`` is 10; no key may stand twice, ``<<`` merges, and no tag makes an object.

    Raises:
        ruamel.yaml.YAMLError: it isn't YAML, or has two documents, or a tag of another kind.
    """
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)
