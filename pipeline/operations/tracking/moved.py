"""Correct the artifact paths in an SQLite store that was copied or moved with its checkout."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from pipeline.operations.tracking import locations
from pipeline.runtime.errors import UserError

#: The (table, column) pairs in which MLflow stores absolute artifact paths.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def correct_artifact_paths(known: str, wanted: str) -> None:
    """Replace the artifact paths in the store if it was copied or moved.

    MLflow stores absolute paths and has no command to change them, so a copied store would read and write the
    original's artifacts.

    Args:
        known: address of the study's artifacts in the store.
        wanted: their expected address, next to the store's file.

    Raises:
        UserError: the store was copied or moved without its artifacts.
    """
    if known == wanted or not known.endswith(wanted[wanted.rindex("/mlruns/") :]):
        return  # unchanged, or the user chose another location for this experiment
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
