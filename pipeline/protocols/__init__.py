"""Protocols: the rules that split a dataset into query, database, train and validation. One file each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.params import schema
from pipeline.preparation.splits import Split
from pipeline.runtime.registry import Registry


class Protocol:
    """A rule for splitting a dataset. A subclass takes its own numbers as keyword-only arguments.

    These are the keys of params.yaml's ``split`` section, besides ``protocol``. Arguments whose default is None are
    alternatives: exactly one of them must be given.
    """

    #: What fixes the split, if it is the same for every seed, in words such as "lists"; None if the seed decides.
    #: Captions of result tables say so.
    fixed_by: str | None = None

    def split(self, labels: npt.NDArray[np.uint8], ids: Sequence[str], seed: int) -> Split:
        """Split a dataset.

        Args:
            labels: multi-hot labels, (n, C) of 0/1.
            ids: n strings that identify the images, as the dataset names them (``Dataset.ids``).
            seed: determines every random choice. The result is the same on every machine and library version.

        Raises:
            UserError: the dataset has too few images for the protocol's numbers, or doesn't fit the protocol.
        """
        raise NotImplementedError


_REGISTRY = Registry("pipeline.protocols", "protocol", Protocol)
names = _REGISTRY.names


def create(name: str, **numbers: Any) -> Protocol:
    """Make the protocol called ``name``.

    Args:
        name: a registered name.
        numbers: the protocol's own arguments, see its file.

    Raises:
        UserError: unknown name, or unknown, missing or invalid numbers.
    """
    return _REGISTRY.create(name, **numbers)


def chosen(section: schema.Split) -> Protocol:
    """The protocol that params.yaml's ``split`` section names, with its numbers."""
    numbers = {name: value for name, value in section.items() if name != "protocol"}
    return create(section["protocol"], **numbers)


def draw(section: schema.Split, labels: npt.NDArray[np.uint8], ids: Sequence[str], seed: int) -> Split:
    """Draw the split that params.yaml's ``split`` section defines; see ``Protocol.split``.

    Args:
        section: the ``split`` section.
        labels: multi-hot labels, (n, C) of 0/1.
        ids: n strings that identify the images.
        seed: determines every random choice.

    Examples:
        >>> labels = np.eye(2, dtype=np.uint8).repeat(10, axis=0)
        >>> ids = [f"{row}.png" for row in range(20)]
        >>> section = {"protocol": "counts", "per_class": {"query": 2, "validation": 1, "train": 3}}
        >>> split = draw(section, labels, ids, seed=0)
        >>> len(split.query), len(split.database), len(split.train)
        (4, 16, 6)
    """
    return chosen(section).split(labels, ids, seed)
