"""params.yaml: what passes, and the one line that each mistake gets."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import datasets
from pipeline.params import check, read
from pipeline.runtime.errors import UserError
from pipeline.runtime.yaml12 import parse
from tests.conftest import at

ROOT = Path(__file__).parent.parent
CONTENT = parse((ROOT / "params.yaml").read_text())

PROTOCOLS = "expected one of cifar10_full, cifar10_official, counts, hswd, lists, wr"


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    place, last = at(content, path)
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def test_the_default_passes() -> None:
    assert check(CONTENT) == []


def test_reading_changes_nothing() -> None:
    """The check may refuse but never change a value: that is why no stage depends on it."""
    assert read(ROOT / "params.yaml") == CONTENT


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("training.epoch", 3, "training.epoch: unknown key (did you mean 'epochs'?)"),
        ("quantizers.wr.wieght", 3, "quantizers.wr.wieght: unknown key (did you mean 'weight'?)"),
        ("zebra", 1, "zebra: unknown key; known here: study, dataset"),
        ("training.epochs", "ten", "training.epochs: expected integer; found 'ten'"),
        ("training.epochs", True, "training.epochs: expected integer; found True"),
        ("training.epochs", 0, "training.epochs: expected greater than 0; found 0"),
        ("training.optimizer.learning_rate", -1.0, "learning_rate: expected greater than 0; found -1.0"),
        ("training.selection", "best", "expected one of validation, last, test; found 'best'"),
        ("compute.precision", "half", "compute.precision: expected one of auto, float32, bfloat16; found 'half'"),
        ("compute.precision", "float16", "found 'float16' (did you mean 'bfloat16'?)"),
        ("compute.precision", ..., "compute.precision: missing; expected one of auto, float32, bfloat16"),
        ("training.selection", "valid", "found 'valid' (did you mean 'validation'?)"),
        (
            "training.validate_every",
            99,
            f"expected at most training.epochs ({CONTENT['training']['epochs']}), found 99",
        ),
        (
            "dataset.name",
            "cifar",
            f"dataset.name: expected one of {', '.join(datasets.names())}; found 'cifar' (did you",
        ),
        ("study", "my study", "study: expected"),
        ("grid.bits", [], "grid.bits: expected at least one value; found []"),
        ("grid.bits", [16, 0], "grid.bits.1: expected greater than or equal to 1; found 0"),
        ("grid.seeds", [1, 2, 1], "grid.seeds: expected each value once (twice or more: 1); found [1, 2, 1]"),
        ("grid.methods", [], "grid.methods: expected at least one value; found []"),
        ("grid.quantizers", [], "grid.quantizers: expected at least one value; found []"),
        ("grid.methods", ..., "grid.methods: missing"),
        ("grid.methods", {"csq": ["wr"]}, "grid.methods: expected list; found {'csq': ['wr']}"),
        ("grid.methods", ["csq", "hashnot"], "grid.methods.1: expected one of"),
        ("grid.quantizers", ["wrr"], "found 'wrr' (did you mean 'wr'?)"),
        ("training", ..., "training: missing; expected a section with epochs, batch_size"),
        ("methods.dsdh", ..., "methods.dsdh: missing, but the grid uses it"),
        ("methods.dsdh.mu", ..., "methods.dsdh.mu: missing"),
        ("methods.dsdh.mu", float("nan"), "methods.dsdh.mu: expected"),
        ("quantizers.wr", ..., "quantizers.wr: missing, but the grid uses it"),
        ("quantizers.swd.projections", 1.5, "quantizers.swd.projections: expected integer"),
        ("quantizers.wr.weight", 0, "quantizers.wr.weight: expected greater than 0; found 0"),
        ("evaluation.precision_at", [1000, 1000], "each value once (twice or more: 1000)"),
        ("evaluation.recall_at", [100, 100], "evaluation.recall_at: expected each value once (twice or more: 100)"),
        ("evaluation.recall_at", None, "evaluation.recall_at: expected list; found None"),
        ("evaluation.ndcg_at", [0], "evaluation.ndcg_at.0: expected greater than 0; found 0"),
        ("evaluation.ndcg_at", ..., "evaluation.ndcg_at: missing; expected a value"),
        ("statistics.significance", 1.0, "statistics.significance: expected less than 1; found 1.0"),
        (
            "visualize.perplexity",
            1e4,
            "visualize.perplexity: expected less than visualize.images (300)",
        ),
        ("candidates.original.own_weight", None, "candidates.original.own_weight: expected list; found None"),
        ("candidates.wr.wait", [1], "candidates.wr.wait: unknown key (did you mean 'weight'?)"),
        ("tune", {"seeds": [4, 7]}, "tune.seeds: expected none of grid.seeds, found 4"),
        (
            "published.tables",
            ["wr-table1"],
            "published.dataset: expected one of cifar10, nuswide21 for wr-table1",
        ),
        ("visualize.seeds", [9], "visualize.seeds: expected some of grid.seeds, found 9"),
        (
            "informativeness",
            {**CONTENT["informativeness"], "parts": ["query"], "bits": [48]},
            "informativeness.bits: expected some of grid.bits, found 48; leave them out there",
        ),
        (
            "timing",
            {"methods": ["csq"], "quantizers": ["wr"], "bits": 8, "batch_sizes": [8], "epochs": 1},
            "timing.quantizers: expected original among them",
        ),
        ("split.per_class.query", 0, "split.per_class.query: expected greater than 0; found 0"),
    ],
)
def test_a_mistake_gets_one_line(path: str, value: Any, line: str) -> None:
    problems = check(changed(path, value))
    assert len(problems) == 1, problems
    assert line in problems[0]
    assert "\n" not in problems[0]


PARTS = {"query": 3, "validation": 2, "train": 5}
LISTS = {"protocol": "lists", "folder": "x", "validation": 9, "validation_from": "train"}


@pytest.mark.parametrize(
    "numbers",
    [
        {"protocol": "wr"},
        {"protocol": "hswd", **PARTS},
        {"protocol": "counts", "per_class": PARTS},
        {"protocol": "counts", "total": PARTS},
    ],
    ids=["wr", "hswd", "counts-per-class", "counts-total"],
)
def test_a_protocol_takes_just_its_own_numbers(numbers: dict[str, Any]) -> None:
    assert check(changed("split", numbers)) == []


@pytest.mark.parametrize(
    ("split", "line"),
    [
        (
            {"protocol": "wr", "per_class": PARTS},
            "split.per_class: protocol 'wr' takes no keys of its own; per_class",
        ),
        ({"protocol": "wr", "prtocol": 3}, "split.prtocol: unknown key (did you mean 'protocol'?)"),
        ({"protocol": "hswd", **PARTS, "total": PARTS}, "'hswd' takes query, train, validation; total is for 'counts'"),
        ({"protocol": "hswd", **PARTS, "tests": 3}, "split.tests: unknown key"),
        ({"protocol": "hswd", "query": 3, "train": 5}, "split.validation: missing"),
        ({"protocol": "hswd", **PARTS, "query": 0}, "split.query: expected greater than 0; found 0"),
        ({"protocol": "hswd", **PARTS, "train": True}, "split.train: expected integer; found True"),
        ({"protocol": "counts"}, "split: expected exactly one of per_class, total; found none of them"),
        (
            {"protocol": "counts", "per_class": PARTS, "total": PARTS},
            "one of per_class, total; found per_class and tot",
        ),
        ({"protocol": "counts", "totl": PARTS}, "split.totl: unknown key (did you mean 'total'?)"),
        ({"protocol": "counts", "total": {"query": 1, "train": 1}}, "split.total.validation: missing"),
        ({"protocol": "counts", "total": {**PARTS, "trian": 1}}, "split.total.trian: unknown key (did you mean 'tr"),
        ({"protocol": "counts", "per_class": {**PARTS, "train": "5"}}, "split.per_class.train: expected integer; fo"),
        ({"protocol": "counts", "total": 3}, "split.total: expected a section with query, validation, train; found 3"),
        ({"protocol": "counts", "per_class": PARTS, "query": 3}, "split.query: protocol 'counts' takes per_class, tot"),
        ({"protocol": "wrr"}, f"split.protocol: {PROTOCOLS}; found 'wrr' (did you mean 'wr'?)"),
        ({"protocol": "count", "per_class": PARTS}, f"split.protocol: {PROTOCOLS}; found 'count' "),
        ({"protocol": ["wr"]}, f"split.protocol: {PROTOCOLS}; found ['wr']"),
        ({"per_class": PARTS}, f"split.protocol: missing; {PROTOCOLS}"),
        (
            {"protocol": "lists", "folder": "x", "validation": 9},
            "split.validation_from: missing; expected one of train",
        ),
        ({**LISTS, "validation_from": "test"}, "split.validation_from: expected one of train, database; found 'test'"),
        ({**LISTS, "validation": 0}, "split.validation: expected greater than 0; found 0"),
        ({**LISTS, "seed": 0}, "split.seed: unknown key"),
        (
            {"protocol": "cifar10_full", "query": 1000},
            "split.query: protocol 'cifar10_full' takes no keys of its own; query is",
        ),
        (None, "split: expected a section with protocol; found None"),
        (..., "split: missing; expected a section with protocol"),
    ],
)
def test_a_mistake_in_the_split_gets_one_line(split: Any, line: str) -> None:
    content = changed("split", split)
    content["watch"]["lists"] = ["always"] if isinstance(split, dict) and "folder" in split else []
    problems = check(content)
    assert len(problems) == 1, problems
    assert line in problems[0]
    assert "\n" not in problems[0]


SECTION = {"weights": "none", "input_size": 8}


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"name": "timm", "model": "resnet18", **SECTION}, ""),
        ({"name": "timm", "model": "no such network", **SECTION}, ""),  # timm is asked where the network is built
        ({"name": "timm", **SECTION}, "backbone.model: missing; expected a value"),
        ({"name": "timm", "model": 18, **SECTION}, "backbone.model: expected string; found 18"),
        (
            {"name": "timm", "modle": "resnet18", "model": "a", **SECTION},
            "backbone.modle: unknown key (did you mean '",
        ),
        (
            {"name": "cnn", "model": "resnet18", **SECTION},
            "backbone.model: backbone 'cnn' takes no keys of its own; model is for 'timm'",
        ),
        ({"name": "tim", "model": "a", **SECTION}, "found 'tim' (did you mean 'timm'?)"),
        ({"name": "timm", "model": "a", **SECTION, "weights": ""}, "backbone.weights: expected"),
        ({"name": "timm", "model": "a", **SECTION, "weights": "pretrained"}, ""),
        ({"name": "timm", "model": "a", **SECTION, "weights": "a.pt"}, "watch.weights: expected [always]"),
    ],
)
def test_a_backbone_takes_just_its_own_keys(section: Any, line: str) -> None:
    problems = check(changed("backbone", {**section, "frozen": False}))
    assert len(problems) == bool(line), problems
    assert all(line in problem and "\n" not in problem for problem in problems)


def test_a_protocols_mistakes_come_with_all_others() -> None:
    content = changed("split", {"protocol": "wr", "query": 100, "per_class": PARTS})
    content["training"]["epochs"] = "ten"
    assert len(check(content)) == 3


def test_a_method_left_out_needs_no_section() -> None:
    content = changed("grid.methods", ["csq"])
    del content["methods"]["dsdh"]
    (line,) = check(content)
    assert line.startswith("visualize.methods: expected some of grid.methods, found dsdh; leave them out there")
    content["visualize"]["methods"] = ["csq"]
    assert check(content) == []


def test_all_mistakes_at_once() -> None:
    content = changed("training.epochs", "ten")
    content["grid"]["seeds"] = [0, 0]
    content["compute"]["devise"] = "cpu"
    content["quantizers"]["wr"]["weight"] = -1
    assert len(check(content)) == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("study: [1,", "line 1: not YAML"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' occurs twice; keep one"),
        ("", "expected sections such as 'dataset:'"),
        ("- 1", "expected sections such as 'dataset:'"),
        ("a: 1\n---\nb: 2", "line 2: not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: not YAML"),
        ("a: *nothing", "line 1: not YAML"),
        ("a: =", "line 1: not YAML"),
        ("a:\n\t- 1", "line 2: not YAML"),
        ("a: 2020-13-45", "not YAML"),
        ("? [a, b]\n: 1", "expected a word as the key"),
        ("{1: 2}", "1: expected a word as the key"),
        ("training: {3: 2}", "training.3: expected a word as the key"),
        ("training: {null: 2}", "training.None: expected a word as the key"),
    ],
)
def test_files_that_are_no_params(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="params.yaml") as caught:
        read(file)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_are_read_as_dvc_reads_them() -> None:
    assert parse("{a: 1e-3, b: 1e3, c: 1.5, d: 3, e: 1e, f: e5}") == {
        "a": 0.001, "b": 1000.0, "c": 1.5, "d": 3, "e": "1e", "f": "e5",
    }  # fmt: skip


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; run in the project's root"):
        read(tmp_path / "params.yaml")


@pytest.mark.parametrize("stage", ["prepare", "train", "aggregate"])
def test_a_stage_says_it_and_writes_nothing(tmp_path: Path, stage: str) -> None:
    content = changed("training.epochs", "ten")
    content["grid"]["seeds"] = [0, 0]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    cell = ["--method", "csq", "--quantizer", "wr", "--bits", "16", "--seed", "0"]
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *(cell if stage == "train" else [])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: params.yaml: grid.seeds: expected each value once (twice or more: 0); found [0, 0]",
        "error: params.yaml: training.epochs: expected integer; found 'ten'",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_tuning_must_try_as_many_settings_for_each_quantizer() -> None:
    content = changed("tune", {"seeds": [100]})
    assert check(content) == []
    content["candidates"]["wr"] = {"weight": [0.1, 0.2, 0.3]}
    assert check(content) == [
        "candidates: expected as many settings for each quantizer of the grid, found original 10, wr 3, swd 10, hswd 10"
    ]
    content["tune"] = None
    assert check(content) == [], "of no interest where nothing is tuned"
    del content["candidates"]["wr"]
    assert check(content) == ["candidates.wr: missing, but the grid uses it; expected its section"]


# What DVC reads is what ``read`` reads.

SPELLINGS = [
    *"yes no on off y n Yes NO On true True TRUE false False null Null ~ none".split(),
    *"010 016 0o10 0x10 0b11 1_000 1:30 1:0.5 1e-4 1e3 .5 5. +1 -0 .inf -.Inf .nan 1e 1.5e+3 0.1".split(),
    *["", "2020-01-02", "2020-01-02 10:00:00", "'yes'", '"010"', "[yes, 010]", "{a: on}", "1,000"],
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_to_the_gate_what_it_is_to_dvc(spelling: str) -> None:
    from dvc.utils.serialize import parse_yaml

    text = f"value: {spelling}\nbase: &base {{a: 1, b: 2}}\nown:\n  <<: *base\n  b: 3\n"
    ours, theirs = parse(text), parse_yaml(text, "params.yaml")
    assert repr(ours) == repr(theirs)
    assert ours["own"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("path", "spelling", "line"),
    [
        ("training.augmentation.flip", "yes", "training.augmentation.flip: expected boolean; found 'yes'"),
        ("statistics.paired", "off", "statistics.paired: expected boolean; found 'off'"),
        ("training.epochs", "010", ""),
        ("training.epochs", "1:30", "training.epochs: expected integer; found"),
    ],
)
def test_a_spelling_is_taken_as_dvc_does_or_refused(tmp_path: Path, path: str, spelling: str, line: str) -> None:
    from dvc.utils.serialize import load_yaml

    mark = "MARK-OF-THE-TEST"
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(changed(path, mark)).replace(mark, spelling))
    if line:
        with pytest.raises(UserError) as caught:
            read(file)
        assert line in str(caught.value) and "\n" not in str(caught.value)
    else:
        assert read(file) == load_yaml(str(file))
        assert read(file)["training"]["epochs"] == 10


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-8-sig"])
def test_other_encodings_are_one_line_or_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(("# caf\u00e9\n" + yaml.safe_dump(CONTENT)).encode(encoding))
    if encoding == "utf-8-sig":
        assert read(file) == CONTENT
        return
    with pytest.raises(UserError, match="not UTF-8 text") as caught:
        read(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [2**32, 2**64, 2**70])
@pytest.mark.parametrize("path", ["grid.seeds", "visualize.seeds", "batch_size.seeds"])
def test_seeds_that_not_every_generator_takes_are_refused(path: str, seed: int) -> None:
    assert any(f"{path}.0: expected less than 4294967296" in line for line in check(changed(path, [seed])))
    assert not any("less than" in line for line in check(changed(path, [2**32 - 1])))


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda content: content.clear(), "expected sections such as 'dataset:'"),
        (lambda content: content["grid"].update(methods=None), "grid.methods: expected"),
        (lambda content: content["grid"].pop("seeds"), "grid.seeds: missing"),
        (lambda content: content.update(grid=None), "grid: expected"),
    ],
)
@pytest.mark.parametrize(
    "command", [["-m", "pipeline", "check"], ["-m", "pipeline", "sweep"], ["-m", "stages.aggregate"]]
)
def test_what_dvc_would_meet_first_is_one_line(tmp_path: Path, harm: Any, line: str, command: list[str]) -> None:
    content = copy.deepcopy(CONTENT)
    harm(content)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content) if content else "")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert line in done.stderr and "Traceback" not in done.stderr
    assert all(said.startswith("error: params.yaml: ") for said in done.stderr.splitlines())
