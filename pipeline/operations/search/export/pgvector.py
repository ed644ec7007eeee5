"""``pgvector``: a table with a bit string for PostgreSQL, and an HNSW index of pgvector."""

from pathlib import Path

import numpy as np

from pipeline.operations.search.export import Target
from pipeline.operations.search.export._source import Source
from pipeline.operations.search.items import Packed
from pipeline.runtime.errors import UserError

FILE = "items.copy"
#: What COPY's text format reads as something else.
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SQL = {
    "schema.sql": """\
CREATE TABLE items (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    labels text[] NOT NULL,
    code bit({bits}) NOT NULL
);
""",
    "load.sql": """\
\\copy items FROM 'items.copy' WITH (FORMAT text, ENCODING 'UTF8')
ANALYZE items;
""",
    "index.sql": """\
-- pgvector 0.7 or newer. The graph is over the different codes, since HNSW misses neighbours among many equal ones.
-- It is built fastest if it fits into maintenance_work_mem.
CREATE EXTENSION IF NOT EXISTS vector;
SET maintenance_work_mem = '1GB';
CREATE TABLE codes (code bit({bits}) PRIMARY KEY);
INSERT INTO codes SELECT DISTINCT code FROM items;
CREATE INDEX codes_nearest ON codes USING hnsw (code bit_hamming_ops);
CREATE INDEX items_code ON items (code);
ANALYZE codes, items;
""",
    "query.sql": """\
-- The items of the codes nearest to that of item :id. An iterative scan (pgvector 0.8) goes on until there are enough.
SET hnsw.ef_search = 200;
SET hnsw.iterative_scan = strict_order;
SELECT id, name, labels, distance
FROM (
    SELECT code, (code <~> (SELECT code FROM items WHERE id = :id))::int AS distance
    FROM codes ORDER BY code <~> (SELECT code FROM items WHERE id = :id) LIMIT :count
) AS nearest JOIN items USING (code)
ORDER BY distance, id LIMIT :count;
""",
    "exact.sql": """\
-- The nearest of item :id by comparing all codes. PostgreSQL 14 or newer; it needs no extension.
SELECT id, name, labels, bit_count(code # (SELECT code FROM items WHERE id = :id)) AS distance
FROM items ORDER BY distance, id LIMIT :count;
""",
}
_README = """\
items.copy  the items as PostgreSQL's COPY reads them (text format, UTF-8)
schema.sql  the table items (id bigint, name text, labels text[], code bit({bits})); the first character of a bit string
            is the first bit of the code
load.sql    \\copy of items.copy
index.sql   the extension vector, a table of the different codes, and its HNSW index with Hamming distance
            (bit_hamming_ops, pgvector 0.7 or newer)
query.sql   nearest items by the index (<~> is the Hamming distance; pgvector 0.8 or newer)
exact.sql   nearest items by comparing all codes, with PostgreSQL's own bit_count and #

In this folder, with the database in PGDATABASE, PGHOST and so on:

    psql -v ON_ERROR_STOP=1 -f schema.sql -f load.sql
    psql -v ON_ERROR_STOP=1 -v id=0 -v count=10 -f exact.sql
    psql -v ON_ERROR_STOP=1 -f index.sql
    psql -v ON_ERROR_STOP=1 -v id=0 -v count=10 -f query.sql

Code of your own: code <~> B'0110...' with {bits} characters. Without pgvector, leave out index.sql and query.sql.
An item that you add needs its code in the table codes, too: INSERT INTO codes VALUES (...) ON CONFLICT DO NOTHING.
The index is approximate; docs/search-exports.md has numbers.
"""


class PgVector(Target):
    """Files for psql: the table, its rows, the index and queries."""

    def write(self, source: Source, folder: Path) -> None:
        with (folder / FILE).open("w", encoding="utf-8", newline="\n") as stream:
            for block in source.blocks():
                stream.writelines(
                    f"{id_}\t{_text(id_, name)}\t{_text(id_, array(labels))}\t{bits}\n"
                    for id_, name, labels, bits in zip(
                        block.ids, block.names, block.labels, bit_strings(block.codes, source.code_length), strict=True
                    )
                )
        for name, text in _SQL.items():
            (folder / name).write_text(text.replace("{bits}", str(source.code_length)), encoding="utf-8")

    def readme(self, source: Source) -> str:
        return _README.format(bits=source.code_length)


def bit_strings(codes: Packed, code_length: int) -> list[str]:
    """Packed codes (b, ceil(K / 8)) as b strings of K characters 0 and 1, the first bit first."""
    bits = np.unpackbits(codes, axis=1, count=code_length) + np.uint8(ord("0"))
    text = bits.tobytes().decode("ascii")
    return [text[start : start + code_length] for start in range(0, len(text), code_length)]


def array(values: list[str]) -> str:
    """Strings as a literal of PostgreSQL's type text[], each in quotes: NULL and {} are strings, too."""
    return "{" + ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"


def _text(id_: int, value: str) -> str:
    """A value as COPY's text format writes it."""
    if "\0" in value:
        raise UserError(f"item {id_}: its name or a label has the character NUL, which PostgreSQL's text can't hold")
    return value.translate(_ESCAPED)
