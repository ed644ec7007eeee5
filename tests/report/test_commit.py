"""The commit that the report names: that of code and params, whatever was committed since."""

import subprocess
from pathlib import Path

import pytest

from pipeline.report.commit import commit


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_lock_files_and_results_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commit() == ""
    git("init", "-q")
    git("config", "user.email", "test@example.org")
    git("config", "user.name", "Test")
    files = ["params.yaml", "cells/train/dvc.yaml", "cells/train/dvc.lock", "dvc.lock", "README.md"]
    for name in files:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("1")
    git("add", "-A")
    git("commit", "-q", "-m", "start")
    first = git("rev-parse", "HEAD")[:12]
    for name in files[2:]:
        Path(name).write_text("2")
        assert commit() == first
        git("commit", "-q", "-a", "-m", name)
        assert commit() == first
    for name in files[:2]:
        Path(name).write_text("2")
        assert commit().endswith(" with changes")
        git("commit", "-q", "-a", "-m", name)
        assert commit() == git("rev-parse", "HEAD")[:12] != first
