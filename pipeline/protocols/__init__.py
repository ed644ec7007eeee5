"""Protocols: the rules that split a dataset into query, database, train and validation. One file each."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.preparation.splits import Split
from pipeline.runtime.registry import Registry


class Protocol:
    """A rule for splitting; a subclass takes its own numbers as keyword-only arguments.

    params.yaml's ``split`` holds just these. Arguments whose default is None are alternatives: exactly one of
    them is given.
    """

    def split(self, labels: npt.NDArray[np.uint8], seed: int) -> Split:
        """Split a dataset.

        Args:
            labels: multi-hot labels, (n, C) of 0/1.
            seed: fixes every random choice, the same on every machine and library version.

        Raises:
            UserError: too few images for what is asked.
        """
        raise NotImplementedError


_REGISTRY = Registry("pipeline.protocols", "protocol", Protocol)
names = _REGISTRY.names


def create(name: str, **numbers: Any) -> Protocol:
    """Make the protocol called ``name``; see its file for its numbers."""
    return _REGISTRY.create(name, **numbers)


def draw(section: dict[str, Any], labels: npt.NDArray[np.uint8], seed: int) -> Split:
    """The split of params.yaml's ``split`` section under one seed; see ``Protocol.split``.

    Examples:
        >>> labels = np.eye(2, dtype=np.uint8).repeat(10, axis=0)
        >>> section = {"protocol": "counts", "per_class": {"query": 2, "validation": 1, "train": 3}}
        >>> split = draw(section, labels, seed=0)
        >>> len(split.query), len(split.database), len(split.train)
        (4, 16, 6)
    """
    numbers = {name: value for name, value in section.items() if name != "protocol"}
    return create(section["protocol"], **numbers).split(labels, seed)
