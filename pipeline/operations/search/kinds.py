"""The kinds of faiss index for binary codes: one exact, three approximate."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.operations.search.items import Packed
from pipeline.runtime.errors import UserError

#: Codes that train the centroids of ``ivf``, at most, for each centroid; faiss uses no more.
PER_CENTROID = 256


def flat(bits: int, count: int) -> Any:
    """All codes are compared: exact, and fast up to some million codes."""
    return _faiss().IndexBinaryFlat(bits)


def hnsw(bits: int, count: int, *, search: int = 128) -> Any:
    """A graph of 32 neighbours a code (Malkov & Yashunin 2020)."""
    index = _faiss().IndexBinaryHNSW(bits, 32)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, search
    return index


def ivf(bits: int, count: int, *, probes: int | None = None) -> Any:
    """Codes in lists by their nearest centroid; the lists nearest to the query are compared."""
    faiss = _faiss()
    lists = max(1, round(math.sqrt(count)))
    quantizer = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(quantizer, bits, lists)
    index.own_fields = True
    quantizer.this.disown()
    index.nprobe = probes or max(1, math.ceil(lists / 16))
    index.cp.min_points_per_centroid = 1
    return index


def multihash(bits: int, count: int, *, flips: int = 1) -> Any:
    """Hash tables of parts of the code (Norouzi et al. 2012); codes with a part within ``flips`` bits are compared.

    A query whose neighbours are all further away gets fewer results than it asks for.
    """
    # A part of about log2 of the number of codes has about one code in each bucket.
    wanted = min(max(4, math.ceil(math.log2(count + 1))), bits, 24)
    tables = max(2, bits // wanted)
    index = _faiss().IndexBinaryMultiHash(bits, tables, min(bits // tables, 24))
    index.nflip = flips
    return index


#: What makes an empty index, by kind; its keyword arguments are the kind's parameters.
KINDS: dict[str, Callable[..., Any]] = {"flat": flat, "hnsw": hnsw, "ivf": ivf, "multihash": multihash}


def check(kind: str) -> None:
    """Refuse a kind that there isn't.

    Raises:
        UserError: ``kind`` is no key of ``KINDS``.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of index {kind!r}; expected one of {', '.join(KINDS)}")


def made(kind: str, codes: Packed, **parameters: Any) -> Any:
    """Build an index.

    Args:
        kind: a key of ``KINDS``.
        codes: (n, bytes) packed codes.
        parameters: the kind's own.

    Returns:
        the faiss index; the id of a code is its position.

    Raises:
        UserError: unknown kind, or faiss is not installed.
    """
    check(kind)
    index = KINDS[kind](8 * codes.shape[1], len(codes), **parameters)
    if not index.is_trained:
        # Evenly spaced codes.
        index.train(codes[:: max(1, math.ceil(len(codes) / (PER_CENTROID * index.nlist)))])
    index.add(codes)
    return index


def write(index: Any, file: Path) -> None:
    _faiss().write_index_binary(index, str(file))


def size(index: Any) -> int:
    """Bytes of an index as ``write`` writes it."""
    return len(_faiss().serialize_index_binary(index))


def read(file: Path) -> Any:
    """Read an index that ``write`` wrote.

    Raises:
        UserError: the file can't be read.
    """
    try:
        return _faiss().read_index_binary(str(file))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1]
        raise UserError(f"{file}: can't be read as a faiss index ({reason}); build the index again") from None


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UserError(
            "a search index needs the package faiss-cpu; install it with `pip install -r requirements-search.txt`"
        ) from None
    return faiss
