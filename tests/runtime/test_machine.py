"""Users without a name or a home, as in a container, and folders that can't be written to."""

import os
import pwd
from pathlib import Path

import pytest

from pipeline.runtime import entry, machine


def test_who_has_no_name_and_no_home_gets_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: str(tmp_path))

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    machine.have_a_home()
    assert os.environ["LOGNAME"] == f"user-{os.getuid()}"
    assert Path.home().parent == tmp_path and Path.home().stat().st_mode & 0o077 == 0
    monkeypatch.delenv("LOGNAME")
    monkeypatch.delenv("HOME")


def test_what_may_not_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> int:
        raise PermissionError(13, "Permission denied", "results/x")

    assert entry.exit_code(refused) == 1
    said = capsys.readouterr().err
    assert said == "error: results/x: Permission denied; make it writable for you, or work in a clone of your own\n"
