"""Search an index for one image and show the nearest ones as a table, JSON or a page."""

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.operations.model.encoder import Encoder
from pipeline.operations.search.index import MODEL, Found, Index
from pipeline.operations.search.items import Packed
from pipeline.runtime.errors import UserError, first_line


def search(
    folder: Path,
    query: str,
    *,
    count: int = 10,
    radius: int | None = None,
    as_json: bool = False,
    page: Path | None = None,
) -> str:
    """Find the nearest images.

    Args:
        folder: the index.
        query: an image file, a .npy file with one vector if the model takes vectors, or the id of an item.
        count: number of results.
        radius: largest Hamming distance of a result; None for any.
        as_json: return JSON instead of a table.
        page: write an HTML page with thumbnails there as well.

    Raises:
        UserError: no index, no such item, a query that can't be read, an argument out of range, or a page that can't
            be written.
    """
    index = Index(folder)
    (found,) = index.search(code_of(index, query), count, radius)
    if page is not None:
        try:
            page.write_text(_page(index, query, found), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--html: {page} can't be written ({error.strerror})") from None
    if as_json:
        return json.dumps({"query": query, "results": [plain(one) for one in found]}, indent=2)
    return _table(found) if found else "nothing found within the radius"


def code_of(index: Index, query: str) -> Packed:
    """The packed code (1, ceil(K / 8)) of a query as ``search`` takes it.

    Raises:
        UserError: the query can't be read.
    """
    file = Path(query)
    if query.isdecimal() and not file.exists():
        if int(query) >= index.count:
            raise UserError(f"no item {query}; expected 0 to {index.count - 1}")
        return index.items.code(int(query))
    if not file.exists():
        raise UserError(f"{query}: no such file; expected an image, or the id of an item (0 to {index.count - 1})")
    encoder = Encoder.load(index.folder / MODEL)
    if encoder.image_size is not None:
        return encoder.codes([file])
    try:
        vector = np.atleast_2d(np.load(file, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{file}: can't be read as a vector (.npy): {first_line(error)}") from None
    if vector.dtype.kind != "f" or len(vector) != 1:
        raise UserError(f"{file}: expected one vector of floats; found {vector.dtype} of shape {vector.shape}")
    return encoder.codes_of(vector.astype(np.float32))


def plain(found: Found) -> dict[str, Any]:
    """A result as JSON shows it."""
    return {
        "id": found.item.id, "distance": found.distance, "name": found.item.name, "labels": found.item.labels,
    }  # fmt: skip


def _table(found: list[Found]) -> str:
    rows = [("distance", "id", "labels", "name")]
    rows += [(str(one.distance), str(one.item.id), ", ".join(one.item.labels), one.item.name) for one in found]
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{row[0]:>{wide[0]}}  {row[1]:>{wide[1]}}  {row[2]:<{wide[2]}}  {row[3]}".rstrip() for row in rows
    )


_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "ol{display:flex;flex-wrap:wrap;gap:1rem;list-style:none;padding:0}"
    "figure{margin:0;width:10rem}img{width:10rem;height:10rem;object-fit:contain;image-rendering:auto}"
    "img.small{image-rendering:pixelated}figcaption{overflow-wrap:anywhere}"
)


def _page(index: Index, query: str, found: list[Found]) -> str:
    """A page that needs no other file."""
    shown = "\n".join(_figure(index, one) for one in found)
    title = html.escape(f"Nearest to {Path(query).name}")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n<p>{html.escape(index.manifest['cell'])}, "
        f"{index.count:,} items, Hamming distance of {index.code_length} bits</p>\n<ol>\n{shown}\n</ol>\n</html>\n"
    )


def _figure(index: Index, one: Found) -> str:
    image, alt = index.items.thumbnail(one.item.id), html.escape(one.item.name)
    picture = ""
    if image is not None:
        kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
        small = ' class="small"' if kind == "png" else ""
        picture = f'<img{small} alt="{alt}" src="data:image/{kind};base64,{base64.b64encode(image).decode()}">'
    labels = html.escape(", ".join(one.item.labels))
    return (
        f"<li><figure>{picture}<figcaption>distance {one.distance}<br>{labels}<br>{alt} ({one.item.id})"
        f"</figcaption></figure></li>"
    )
