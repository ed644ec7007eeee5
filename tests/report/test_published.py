"""Published numbers beside ours: counterparts, what differs in protocol, and the count over all studies."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.published import protocol_facts, records
from pipeline.report.published.counterparts import pairs
from pipeline.report.published.coverage import coverage
from pipeline.report.published.records import FOLDER, of_table, published, retrieval
from pipeline.report.source import read
from pipeline.report.tables import Value
from pipeline.report.tables.papers import LAYOUTS
from pipeline.runtime.errors import UserError
from tests.conftest import copy_project
from tests.messages import one_line
from tests.report.making import BACKBONE, PUBLISHED, beside, edit_about, lose, network, put, tables_of, tuned
from tests.report.test_tables import build_tables

PROTOCOL = {"protocol": "wr", "training": {"batch_size": 256, "epochs": 8}, "images": 60000} | BACKBONE


def rows_of(folder: Path, table: str = "comparison") -> list[dict[str, Any]]:
    found = tables_of(folder)[table]
    titles = [column.title for column in found.columns]
    return [dict(zip(titles, row, strict=True)) for row in found.rows]


def test_beside_has_a_row_for_every_published_number(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", dataset="cifar10", **beside())
    rows = rows_of(folder)
    printed = [record for record in retrieval() if record.dataset == "cifar10"]
    assert len(printed) == 196
    assert [(r["table"].text, r["method"].text, r["quantizer"].text, r["bits"].text, r["published"].data)
            for r in rows] == [(p.table, p.method, p.quantizer, str(p.bits), p.text) for p in printed]  # fmt: skip


def test_differences_and_improvements(tmp_path: Path) -> None:
    folder = build_tables(
        tmp_path / "tables", dataset="cifar10", **beside("cifar10", "hswd-table5"), **network("hswd-table5")
    )
    rows = {(r["method"].text, r["quantizer"].text, r["bits"].text): r for r in rows_of(folder)}
    row, base = rows["dsdh", "swd", "16"], rows["dsdh", "original", "16"]
    ours, theirs = float(row["ours"].data), 0.7886
    assert row["published"].data == "0.7886" and float(row["difference"].data) == ours - theirs
    assert row["ours is"].text == ("lower" if ours < theirs else "higher")
    assert float(row["paper %"].data) == pytest.approx(100 * (0.7886 / 0.7366 - 1))
    assert float(row["ours %"].data) == pytest.approx(100 * (ours / float(base["ours"].data) - 1))
    assert row["n"].text == "5" and row["ours"].spread.data
    absent = rows["dsdh", "swd", "64"]
    assert absent["ours"].note == "not in the grid" and absent["ours is"].text == "not compared"
    verdicts = [r["ours is"].text for r in rows.values()]
    caption = " ".join(tables_of(folder)["comparison"].caption)
    compared = len(verdicts) - verdicts.count("not compared")
    assert "Of the 410 numbers" in caption and f"compared with 54; {compared} of them have a counterpart" in caption
    assert f"Ours is lower in {verdicts.count('lower')} of these {compared}." in caption


def uncompared(folder: Path, why: str) -> list[dict[str, Value]]:
    """The rows with a number of ours, none of which is subtracted; improvements stand side by side."""
    rows = [row for row in rows_of(folder) if row["ours"].data]
    assert rows
    for row in rows:
        assert (row["difference"].text, row["difference"].note) == ("n/a", why)
        assert row["ours is"].text == "not compared"
    assert any(row["ours %"].data and row["paper %"].data for row in rows)
    return rows


def test_another_network_is_a_counterpart_and_is_never_subtracted(tmp_path: Path) -> None:
    frozen = BACKBONE | {"backbone": network("wr-table1")["backbone"] | {"frozen": True}}
    folder = build_tables(tmp_path / "tables", dataset="cifar10", **beside("cifar10", "wr-table1"), **frozen)
    rows = uncompared(folder, "of another network (alexnet, frozen)")
    caption = " ".join(tables_of(folder)["comparison"].caption)
    assert f"{len(rows)} of them have a counterpart" in caption
    assert "of another network (alexnet, frozen), so this isn't a reproduction" in caption


def test_a_stand_in_dataset_is_no_counterpart(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", **beside("cifar10", "wr-table1"))
    uncompared(folder, "digits is not cifar10")
    caption = " ".join(tables_of(folder)["comparison"].caption)
    assert "0 of them have a counterpart" in caption and "digits, not cifar10" in caption
    assert "Ours is lower" not in caption


def test_a_study_that_stands_for_no_dataset_has_layouts_only(tmp_path: Path) -> None:
    found = tables_of(build_tables(tmp_path / "tables", **beside(None, "hswd-table5")))
    assert {"hswd-table5", "hswd-table5-published"} <= found.keys()
    assert not {"comparison", "differences"} & found.keys()
    assert len(found["hswd-table5-published"].columns) == 2 + 6, "both datasets"


def test_tables_without_the_dataset_are_left_out(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", dataset="coco", **beside("coco"))
    found = tables_of(folder)
    assert {row["table"].text for row in rows_of(folder)} == {"hswd-table4"}
    assert "wr-table1-published" not in found and "hswd-table5-published" not in found


def test_what_failed_is_said(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", dataset="cifar10", **beside("cifar10", "wr-table1", "wr-table3"))
    lose(folder, "dsdh", "wr", "train: the loss is nan in epoch 3")
    rows = {(r["table"].text, r["method"].text, r["quantizer"].text, r["bits"].text): r for r in rows_of(folder)}
    lost = rows["wr-table1", "dsdh", "wr", "16"]
    assert lost["ours"].note == "train: the loss is nan in epoch 3" and lost["n"].text == "0"
    assert rows["wr-table3", "dsdh", "original", "16"]["ours"].note == "mine was not measured"


def test_protocols_know_every_published_table_and_dataset() -> None:
    assert protocol_facts.names() == list(LAYOUTS) == PUBLISHED
    keys = {"paper", "number", "what", "facts", "remarks"}
    assert all(set(table) == keys for table in protocol_facts.protocols()["tables"].values())
    assert {(record.table, record.dataset) for record in published()} <= {
        (table, dataset) for table in protocol_facts.names() for dataset in protocol_facts.datasets(table)
    }
    for table in protocol_facts.names():
        stated = protocol_facts.protocols()["tables"][table]["facts"]
        assert stated["bits"] == sorted({record.bits for record in of_table(table)})


def test_protocols_agree_with_the_numbers() -> None:
    """Backbones are those of results.csv, and query and database make up the dataset."""
    rows = records._rows("results.csv", records.NUMBERS)
    for row in rows:
        paper = protocol_facts.protocols()["papers"][protocol_facts.protocols()["tables"][row["table"]]["paper"]]
        stated = paper["facts"] | protocol_facts.protocols()["tables"][row["table"]]["facts"]
        assert stated["backbone.name"] == row["backbone"]
    for paper in protocol_facts.protocols()["papers"].values():
        for sizes in paper["datasets"].values():
            assert sizes["split.query"] + sizes["split.database"] == sizes["images"]


def test_what_differs_is_computed(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", dataset="cifar10", **PROTOCOL, **beside("cifar10", "wr-table1"))
    verdicts = {row["point"].text: row["verdict"].text for row in rows_of(folder, "differences")}
    assert {name for name, verdict in verdicts.items() if verdict == "same"} == {
        "protocol", "training.batch_size", "runs", "significance", "images", "classes", "dataset",
    }  # fmt: skip
    assert verdicts["backbone.name"] == verdicts["tuned on"] == verdicts["split.query"] == "differs"
    assert verdicts["training.epochs"] == verdicts["top_k"] == verdicts["selection"] == "not stated"
    caption = " ".join(tables_of(folder)["comparison"].caption)
    assert "Differences from Zhang et al., IJCAI 2022, Table 1: backbone.name, tuned on, bits, split.query" in caption
    edit_about(folder, **beside("cifar10", "hswd-table5", "hswd-table6"))
    alike = "supplement, CVPR 2022, Table 5 and Doan et al., supplement, CVPR 2022, Table 6: protocol, backbone.name,"
    assert alike in " ".join(tables_of(folder)["comparison"].caption)
    tuned(folder)
    edit_about(folder, training={}, seeds=[0, 1], **beside("cifar10", "wr-table1"))
    verdicts = {row["point"].text: row["verdict"].text for row in rows_of(folder, "differences")}
    assert (verdicts["tuned on"], verdicts["runs"]) == ("same", "differs")
    assert verdicts["training.batch_size"] == "not recorded"


@pytest.mark.slow
def test_counterparts_over_all_studies(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    results = project.folder / "results"
    own = network("wr-table1")
    first = build_tables(results / "first" / "tables", dataset="cifar10", **beside("cifar10", "wr-table1"), **own)
    both = beside("cifar10", "wr-table1", "hswd-table6")
    build_tables(results / "second" / "tables", dataset="cifar10", **both, **own)
    frozen = own | {"backbone": own["backbone"] | {"name": "efficientnet_lite0", "frozen": True}}
    committed = project.folder / "docs" / "results" / "third" / "tables"
    build_tables(committed, dataset="cifar10", **beside("cifar10", "wr-table1", "hswd-table5"), **frozen)
    build_tables(results / "small" / "tables", **beside("cifar10", "wr-table1"))
    (results / "begun" / "data").mkdir(parents=True)
    done = project.run("python", "-m", "pipeline", "published")
    lines = [line.split() for line in done.stdout.splitlines()]
    lower = sum(pair.lower for pair in pairs(read(first)))
    assert "16 of 410 published numbers have a counterpart" in done.stdout, "4 of Table 1, counted once, and 6 and 6"
    assert "10 are of the same network, 6 of another network alone." in " ".join(done.stdout.split())
    assert ["wr-table1", "cifar10", "46", "4", str(lower), "first", "the", "paper's"] in lines
    assert ["wr-table1", "cifar10", "46", "4", str(lower), "second", "the", "paper's"] in lines
    other = ["not", "compared", "third", "efficientnet_lite0,", "frozen"]
    assert ["hswd-table5", "cifar10", "54", "6", *other] in lines
    assert ["hswd-table6", "nuswide", "54", "0", "none", "yet"] in lines
    assert "Studies without a counterpart: small." in " ".join(done.stdout.split())
    assert {path.name for path in results.glob("*/*")} == {"tables", "data"}, "it writes nothing"

    (first / "about.json").write_text("{")
    broken = project.run("python", "-m", "pipeline", "published", check=False)
    assert broken.returncode == 1 and broken.stdout == ""
    assert broken.stderr.count("\n") == 1 and "first/tables/about.json is not JSON" in broken.stderr


def test_no_study_yet(tmp_path: Path) -> None:
    text = coverage(tmp_path)
    assert text.startswith("0 of 410 published numbers have a counterpart") and "Nothing to compare yet." in text
    assert text.count("none yet") == 11


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of published/ that a test may damage."""
    folder = shutil.copytree(FOLDER, tmp_path / "published")
    monkeypatch.setattr(records, "FOLDER", folder)
    monkeypatch.setattr(protocol_facts, "FOLDER", folder)
    for cached in (records.published, protocol_facts.protocols):
        cached.cache_clear()
    yield folder
    for cached in (records.published, protocol_facts.protocols):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("results.csv", None, "cannot be read as CSV"),
        ("results.csv", "", "cannot be read as CSV"),
        ("results.csv", "table,dataset\n", "lacks the column method"),
        ("wr-table2-epoch-seconds.csv", "batch_size,baseline_seconds,wr_seconds\nx,1,2\n", "whole number, not 'x'"),
        ("protocols.yaml", None, "cannot be read as YAML"),
        ("protocols.yaml", "a: [\nb: }", "cannot be read as YAML"),
    ],
)
def test_damaged_published_files_are_one_line(
    damaged: Path, tmp_path: Path, name: str, content: str | None, part: str
) -> None:
    if content is None:
        (damaged / name).unlink()
    else:
        (damaged / name).write_text(content)
    folder = build_tables(tmp_path / "tables", dataset="cifar10", **beside())
    with pytest.raises(UserError) as error:
        tables_of(folder)
    one_line(error, name, part, "git checkout")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"published": {"tables": []}}, "published lacks dataset"),
        ({"published": ["wr-table1"]}, "published lacks dataset, tables"),
        ({"tune": {"seeds": [1]}}, "tune lacks settings, candidates"),
        ({"missing": [{"method": "dsdh"}]}, "missing lacks quantizer"),
    ],
)
def test_broken_about_is_one_line(tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    folder = build_tables(tmp_path / "tables", **changes)
    with pytest.raises(UserError) as error:
        read(folder)
    one_line(error, "about.json", part)


def test_mine_is_of_the_database_where_both_are_measured(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", dataset="cifar10", **beside("cifar10", "wr-table3"))
    key = {"method": "dsdh", "bits": 16, "n": 5}
    put(folder, "informativeness", [
        key | {"quantizer": name, "informativeness_query_mean": 1.5, "informativeness_database_mean": value}
        for name, value in (("original", 0.25), ("wr", 0.5))
    ])  # fmt: skip
    rows = {r["quantizer"].text: r for r in rows_of(folder) if r["ours"].data}
    assert {name: row["ours"].data for name, row in rows.items()} == {"original": "0.25", "wr": "0.5"}
