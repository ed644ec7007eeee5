"""``python -m pipeline``: its commands, their help, and what a wrong command line says."""

import re
import subprocess
import sys

import pytest

from pipeline.__main__ import commands, main
from tests.conftest import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_help_lists_every_command_with_a_whole_sentence() -> None:
    said = run("--help").stdout
    listed = dict(re.findall(r"^  ([a-z-]+) {2,}(.*)$", said, re.MULTILINE))
    assert listed.keys() == commands.commands.keys()
    assert all(text.endswith(".") and not text.endswith("...") for text in listed.values()), listed
    assert run().stdout == said, "without a command, too"


@pytest.mark.parametrize("name", commands.commands)
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"python -m pipeline {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["swep"], "No such command 'swep'"),
        (["sweep", "--worker", "2"], "No such option"),
        (["sweep", "--workers", "two"], "'two' is not a valid integer"),
        (["sweep", "--workers", "0"], "0 is not in the range x>=1"),
        (["ui", "99999"], "99999 is not in the range"),
        (["ui", "port"], "'port' is not a valid integer"),
        (["study", "digits", "twice"], "unexpected extra argument"),
        (["study", "digit"], "no study 'digit' (did you mean 'digits'?)"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert line.lower() in said.err.lower()


def test_list_names_what_params_may_say() -> None:
    said = run("list").stdout
    assert re.search(r"^  wr +\S", said, re.MULTILINE) and re.search(r"^  greedyhash +\S", said, re.MULTILINE)
    assert [line for line in said.splitlines() if line and line[0] != " "] == [
        "methods", "quantizers", "datasets", "protocols", "backbones",
    ]  # fmt: skip


def test_every_make_target_of_a_command_calls_it() -> None:
    called = set(re.findall(r"python -m pipeline ([a-z-]+)", (ROOT / "Makefile").read_text()))
    assert called == commands.commands.keys() - {"list"}
