"""An SQLite store that was copied or moved with its checkout: its artifacts are where it is now."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from pipeline.operations.tracking import locations
from pipeline.runtime.errors import UserError

#: Where MLflow writes addresses of artifacts down, each with the whole path.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(known: str, wanted: str) -> None:
    """Let the store name its artifacts where they are, if it was copied or moved.

    MLflow keeps whole paths and has no command to change them: a copy would read and write the original's artifacts.

    Args:
        known: where the study's artifacts are, as the store says.
        wanted: where they belong beside this store.

    Raises:
        UserError: the store came without its artifacts.
    """
    if known == wanted or not known.endswith(wanted[wanted.rindex("/mlruns/") :]):
        return  # or somebody has chosen another place for this experiment
    folder = Path(unquote(urlparse(wanted).path))
    file = locations.uri().removeprefix(locations.SQLITE)
    if not folder.exists():
        raise UserError(
            f"{file} came from another folder without its artifacts, which are in {unquote(urlparse(known).path)}; "
            f"copy them to {folder}, or remove {Path(file).name} and run `make track`"
        )
    with closing(sqlite3.connect(file, timeout=60)) as connection, connection:
        for table, column in COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR {column} LIKE ? || '/%'",
                (wanted, len(known) + 1, known, known),
            )
    print(f"MLflow: {file} came from another folder; its artifacts are those in {folder} now", file=sys.stderr)
