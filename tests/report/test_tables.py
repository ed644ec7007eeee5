"""The report, from a made-up tables folder: its numbers, its files, and the page in a real browser."""

import json
import math
import random
import re
import shutil
import statistics
import subprocess
import zlib
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas
import pytest

from pipeline import report
from pipeline.report.source import ABOUT, read
from pipeline.report.tables import build
from pipeline.runtime.errors import UserError
from tests.conftest import Project

# One worker makes the page and its files.
pytestmark = pytest.mark.xdist_group("report")

Row = dict[str, Any]

QUANTIZERS = ("original", "wr", "swd", "hswd")
CUTOFFS = (100, 1000)
GAINS = {"original": 0.0, "wr": 0.012, "swd": 0.021, "hswd": 0.0195}


def about(**changes: Any) -> dict[str, Any]:
    return {
        "study": "digits",
        "dataset": "digits",
        "images": 1797,
        "image_size": 8,
        "classes": 10,
        "largest_class": 183,
        "content_hash": "0" * 64,
        "protocol": "counts",
        "split": {"query": 300, "database": 1497, "train": 1000, "validation": 200},
        "seeds": [0, 1, 2, 3, 4],
        "backbone": {"name": "cnn", "weights": "none", "input_size": 8, "frozen": False},
        "head": {"hidden": [], "dropout": 0.0, "normalize": "none"},
        "training": {"epochs": 15, "batch_size": 64, "selection": "validation"},
        "ties": "expected",
        "top_k": None,
        "precision_at": list(CUTOFFS),
        "informativeness": "not measured",
        "selection": "validation",
        "tune": None,
        "published": {"dataset": None, "tables": []},
        "class_names": [str(digit) for digit in range(10)],
        "test": "paired two-sided t-test over seeds",
        "significance": 0.05,
        "missing": [],
        "methods": {"dsdh": {"eta": 0.01, "mu": 1.0}, "csq": {"lambda": 0.0001}},
        "quantizers": {"original": {}, "wr": {"weight": 0.1}, "swd": {"weight": 0.1, "projections": 64}},
    } | changes


def build_tables(
    folder: Path,
    *,
    methods: tuple[str, ...] = ("dsdh", "csq"),
    bits: tuple[int, ...] = (16,),
    seeds: int = 5,
    lost: dict[tuple[str, str], int] | None = None,
    informativeness: bool = False,
    **changes: Any,
) -> Path:
    """Write a realistic aggregate folder; ``lost``: how many seeds of (method, quantizer) have no cell."""
    folder.mkdir(parents=True)
    draw = random.Random(7)
    cells = [
        _cell(draw, method, place, quantizer, length, seed)
        for place, method in enumerate(methods)
        for quantizer in QUANTIZERS
        for length in bits
        for seed in range(seeds - (lost or {}).get((method, quantizer), 0))
    ]
    results = [_result(cells, m, q, b) for m in methods for q in QUANTIZERS for b in bits]
    history = [row for m in methods for q in QUANTIZERS for b in bits for row in _history(draw, m, q, b)]
    missing = [
        {"cell": f"{m}-{q}-{b}-{seed}", "method": m, "quantizer": q, "bits": b, "seed": seed, "reason": "no cells"}
        for (m, q), few in (lost or {}).items() for b in bits for seed in range(seeds - few, seeds)
    ]  # fmt: skip
    settings = about(**({"seeds": list(range(seeds)), "missing": missing} | changes))
    (folder / "about.json").write_text(json.dumps(settings), encoding="utf-8")
    balance = [_balance(draw, m, q, b) for m in methods for q in QUANTIZERS for b in bits]
    curves = [row for m in methods for q in QUANTIZERS for b in bits for row in _curve(m, q, b)]
    tables = {"results": results, "cells": cells, "history": history, "balance": balance, "curves": curves}
    if informativeness:
        part = "informativeness_database"
        tables["informativeness"] = [
            {key: row[key] for key in ("method", "quantizer", "bits", "n")}
            | {name.replace("map_", f"{part}_", 1): row[name] for name in row if re.match("map_(?!pess|opt)", name)}
            for row in results
        ]
    for name, rows in tables.items():
        pandas.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


def _cell(draw: random.Random, method: str, place: int, quantizer: str, bits: int, seed: int) -> Row:
    value = 0.78 + 0.03 * place + 0.02 * math.log2(bits / 16) + GAINS[quantizer] + draw.gauss(0, 0.009)
    precision = {f"precision@{n}": value + 0.04 - n / 20000 + draw.gauss(0, 0.004) for n in CUTOFFS}
    key = {"method": method, "quantizer": quantizer, "bits": bits, "seed": seed, "map": value}
    chosen = {"selection": "validation", "selected_epoch": draw.randint(6, 14), "epochs": 15}
    chosen["validation_map"] = value + abs(draw.gauss(0, 0.01))
    return key | precision | {"queries": 300} | chosen | {"parameters": 61234, "device": "cpu"}


def _balance(draw: random.Random, method: str, quantizer: str, bits: int) -> Row:
    row: Row = {"method": method, "quantizer": quantizer, "bits": bits, "n": 5}
    for name, value in (("bit_imbalance", 0.2), ("distinct_codes", 812.0)):
        p = None if quantizer == "original" else 0.01 if quantizer == "wr" else 0.4
        row |= {f"{name}_mean": value + draw.random(), f"{name}_std": 0.01, f"{name}_p_value": p}
    return row | {"bit_correlation_mean": None, "bit_correlation_std": None, "bit_correlation_note": "no value"}


def _curve(method: str, quantizer: str, bits: int) -> list[Row]:
    key = {"method": method, "quantizer": quantizer, "bits": bits}
    ranks = [key | {"by": "rank", "at": at, "precision_mean": 1 / at**0.2, "recall_mean": at / 1497}
             for at in (1, 10, 100, 1497)]  # fmt: skip
    return [*ranks, key | {"by": "radius", "at": 0, "precision_mean": 0.9, "recall_mean": 0.1}]


def _result(cells: list[Row], method: str, quantizer: str, bits: int) -> Row:
    def values(name: str, of: str) -> list[float]:
        return [c[name] for c in cells if (c["method"], c["quantizer"], c["bits"]) == (method, of, bits)]

    n = len(values("map", quantizer))
    row: Row = {"method": method, "quantizer": quantizer, "bits": bits, "n": n}
    metrics = ["map", *(f"precision@{n}" for n in CUTOFFS)]
    for name in metrics:
        own = values(name, quantizer)
        row[f"{name}_mean"] = statistics.mean(own) if own else None
        row[f"{name}_std"] = statistics.stdev(own) if len(own) > 1 else None
    for name in metrics:
        row |= _comparison(name, values(name, quantizer), values(name, "original"), quantizer)
    middle = row["map_mean"]
    for name, off in (("map_pessimistic", -0.02), ("map_optimistic", 0.03)):
        row[f"{name}_mean"] = None if middle is None else middle + off
    return row


def _comparison(name: str, own: list[float], base: list[float], quantizer: str) -> Row:
    pairs = [a - b for a, b in zip(own, base, strict=False)]
    reason = "no cells" if not own else "baseline" if quantizer == "original" else ""
    difference = None if reason else statistics.mean(pairs)
    reason = reason or ("n < 2" if len(pairs) < 2 else "")
    p = effect = width = None
    if not reason:  # not the t distribution, which a page has no use for, but as small where t is large
        t = statistics.mean(pairs) / (statistics.stdev(pairs) / math.sqrt(len(pairs)))
        p, effect, width = (1 + t * t / 4) ** -2, t / math.sqrt(len(pairs)), 2.8 * statistics.stdev(pairs)
    return {
        f"{name}_improvement_percent": difference and 100 * difference / statistics.mean(base),
        f"{name}_difference": difference,
        f"{name}_low": width and difference and difference - width,
        f"{name}_high": width and difference and difference + width,
        f"{name}_effect_size": effect,
        f"{name}_p_value": p,
        f"{name}_p_holm": p and min(1.0, 3 * p),
        f"{name}_note": reason,
    }


def _history(draw: random.Random, method: str, quantizer: str, bits: int) -> list[Row]:
    rows = []
    for epoch in range(15):
        fall = math.exp(-(epoch + 1) / 4)
        row = {
            "method": method, "quantizer": quantizer, "bits": bits, "epoch": epoch,
            "learning_rate_mean": 0.002 * fall, "learning_rate_std": 0.0,
            "validation_map_mean": 0.82 + GAINS[quantizer] - 0.55 * fall + draw.gauss(0, 0.006),
            "validation_map_std": 0.012 + 0.04 * fall,
            "loss_mean": 0.4 + 2.2 * fall + draw.gauss(0, 0.02),
            "loss_std": 0.03 + 0.1 * fall,
            "similarity_mean": 0.3 + 1.6 * fall + draw.gauss(0, 0.01), "similarity_std": 0.02,
            "own_quantization_mean": 0.08 + 0.3 * fall if quantizer == "original" else None,
        }  # fmt: skip
        part = 0.05 + 0.25 * fall + draw.gauss(0, 0.003)
        rows.append(row | {f"{name}_mean": part if name == quantizer else None for name in QUANTIZERS[1:]})
    return rows


class Page(HTMLParser):
    """What the tests ask of a page: its tables with their data-value attributes, its tags, its text."""

    VOID = frozenset(("meta", "br", "img", "input", "hr"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[dict[str, str]]] = {}
        self.shown: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.text = ""
        self.table = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.table = found["id"]
            self.tables[self.table], self.shown[self.table] = [], []
        if tag == "tr" and "tbody" in self.open:
            self.tables[self.table].append({})
            self.shown[self.table].append([])
        if tag in ("td", "th") and "tbody" in self.open:
            self.shown[self.table][-1].append("")
        if "tbody" in self.open and "data-value" in found:
            self.tables[self.table][-1][found["data-column"]] = found["data-value"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> does not close the last open element"

    def handle_data(self, data: str) -> None:
        self.text += data
        if "tbody" in self.open and {"td", "th"} & set(self.open):
            self.shown[self.table][-1][-1] += data


def written(tables: Path, target: Path) -> Path:
    target.mkdir()
    report.write(tables, target)
    return target


def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tables(tmp_path_factory.mktemp("input") / "tables")


@pytest.fixture(scope="module")
def made(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tables, tmp_path_factory.mktemp("output") / "report")


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several code lengths, missing cells and history, selection on test images, a name that is code."""
    root = tmp_path_factory.mktemp("gappy")
    lost = {("dsdh", "swd"): 2, ("dsdh", "wr"): 1}
    methods = ("dsdh", "<script>alert(1)</script>|*$x$")
    build_tables(root / "tables", methods=methods, bits=(16, 32), seeds=2, lost=lost, selection="test")
    history = pandas.read_csv(root / "tables" / "history.csv")
    history[history["bits"] == 16].to_csv(root / "tables" / "history.csv", index=False)
    return written(root / "tables", root / "report")


def test_every_file_is_there(made: Path) -> None:
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    names = (
        "map",
        "validation",
        "precision-recall",
        "loss-1-dsdh-16",
        "loss-2-csq-16",
    )  # and none of the learning rate
    figures = {f"figures/{name}.{kind}" for name in names for kind in ("svg", "png")}
    names = ("results", "summary", "metrics", "balance", "cells", "protocol")
    tables = {f"tables/{name}.{kind}" for name in names for kind in ("csv", "md", "tex")}
    assert files == {"index.html", "results.md", "results.txt"} | figures | tables


@pytest.mark.parametrize("name", ["results", "cells"])
def test_page_has_the_numbers_of_the_file(tables: Path, made: Path, name: str) -> None:
    expected = pandas.read_csv(tables / f"{name}.csv", dtype=str, keep_default_na=False).to_dict("records")
    rows = page(made).tables[name]
    assert len(rows) == len(expected)
    for row, record in zip(rows, expected, strict=True):
        assert row == {column: record[column] for column in row}
        assert row.keys() >= ({"map_mean", "map_std", "map_p_value"} if name == "results" else {"map"})


def test_page_has_the_numbers_of_the_further_metrics(tables: Path, made: Path) -> None:
    expected = pandas.read_csv(tables / "results.csv", dtype=str, keep_default_na=False).to_dict("records")
    rows = page(made).tables["metrics"]
    assert rows == [
        {column: record[column] for column in row} for row, record in zip(rows, [*expected, *expected], strict=True)
    ]
    assert set(rows[0]) > {"precision@100_difference"} and set(rows[-1]) > {"precision@1000_p_value"}


def test_metrics_that_a_study_asks_for_have_rows_and_a_meaning(tables: Path, tmp_path: Path) -> None:
    shutil.copytree(tables, tmp_path / "tables")
    results = pandas.read_csv(tables / "results.csv", dtype=str, keep_default_na=False)
    for name in ("recall@100", "recall@2000", "ndcg@100"):
        for column in [column for column in results.columns if column.startswith("precision@100_")]:
            results[column.replace("precision@100_", f"{name}_")] = results[column]
    results.to_csv(tmp_path / "tables" / "results.csv", index=False)
    without, found = (next(table for table in build(read(folder)) if table.name == "metrics")
                      for folder in (tables, tmp_path / "tables"))  # fmt: skip
    assert (without.title, found.title) == ("Precision", "Precision, recall and NDCG")
    assert len(found.rows) == len(without.rows) // 2 * 5
    assert [row[3].text for row in found.rows[-1:]] == ["ndcg@100"]
    added = [sentence for sentence in found.caption if sentence not in without.caption]
    assert [sentence.partition(" ")[0] for sentence in added] == ["recall@n:", "ndcg@n:", "recall@2000"]
    assert added[-1] == "recall@2000 counts all 1497 images: the database has no more."


def test_shown_digits(tables: Path, made: Path) -> None:
    level = 0.05
    for record, shown in zip(pandas.read_csv(tables / "results.csv").to_dict("records"),
                             page(made).shown["results"], strict=True):  # fmt: skip
        assert shown[3] == f"{record['map_mean']:.4f} ± {record['map_std']:.4f}"
        if record["quantizer"] == "original":
            assert shown[6:] == ["n/a", "n/a", "n/a", "n/a", "n/a baseline", "n/a"]
        else:
            stars = ["*" if record[f"map_p_{name}"] < level else "" for name in ("value", "holm")]
            numbers = (
                f"{record['map_difference']:+.4f}", f"{record['map_low']:+.4f} to {record['map_high']:+.4f}",
                f"{record['map_improvement_percent']:+.2f}", f"{record['map_effect_size']:+.1f}",
                f"{record['map_p_value']:#.3g}{stars[0]}", f"{record['map_p_holm']:#.3g}{stars[1]}",
            )  # fmt: skip
            assert shown[6:] == [text.replace("-", "−") for text in numbers]


def test_both_kinds_of_p_occur_in_the_fixture(made: Path) -> None:
    shown = [row[10] for row in page(made).shown["results"]]
    assert any(p.endswith("*") for p in shown) and any(p[-1].isdigit() for p in shown)


def test_markdown_and_text_have_all_rows(tables: Path, made: Path) -> None:
    markdown, text = ((made / name).read_text(encoding="utf-8") for name in ("results.md", "results.txt"))
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines()]
    for record in pandas.read_csv(tables / "results.csv").to_dict("records"):
        start = [record["method"], record["quantizer"], str(record["bits"])]
        start += [f"{record['map_mean']:.4f} ± {record['map_std']:.4f}"]
        start += [f"{record['map_pessimistic_mean']:.4f} to {record['map_optimistic_mean']:.4f}", str(record["n"])]
        assert start in [line[:6] for line in lines]
        assert start in [row[:6] for row in rows]
    for cell in pandas.read_csv(tables / "cells.csv").to_dict("records"):
        start = [str(cell[name]) for name in ("method", "quantizer", "bits", "seed")] + [f"{cell['map']:.4f}"]
        assert start in [row[:5] for row in rows]


def test_text_columns_are_aligned(made: Path) -> None:
    lines = (made / "results.txt").read_text(encoding="utf-8").splitlines()
    rule = next(place for place, line in enumerate(lines) if line.startswith("---"))
    gaps = [match.start() for match in re.finditer("  ", lines[rule])]
    for line in lines[rule - 1 : rule + 9]:
        assert all(line[gap : gap + 2].strip() == "" for gap in gaps), line
    assert max(map(len, lines)) < 140


def test_captions_state_the_protocol(made: Path) -> None:
    for name in ("index.html", "results.md", "results.txt"):
        text = " ".join((made / name).read_text(encoding="utf-8").split())
        for part in ("Dataset digits", "1797 images", "protocol counts", "query 300", "5 seeds",
                     "best validation mAP", "exact expectation", "paired two-sided t-test"):  # fmt: skip
            assert part in text, (name, part)
    assert "Optimistic" not in page(made).text and "Incomplete" not in page(made).text


@pytest.mark.parametrize("fixed_by", ["lists", None])
def test_captions_say_that_the_split_is_fixed(tmp_path: Path, fixed_by: str | None) -> None:
    changes = {} if fixed_by is None else {"split_fixed_by": fixed_by}
    built = build(read(build_tables(tmp_path / "tables", informativeness=True, **changes)))
    told = [table.name for table in built if any("The split is fixed by" in line for line in table.caption)]
    assert told == ([] if fixed_by is None else ["results", "metrics", "balance", "informativeness", "cells"])
    if fixed_by:
        assert "The split is fixed by lists; seeds differ only in training." in built[0].caption


def test_what_all_cells_share_is_said_once(made: Path) -> None:
    found = page(made)
    said = "The same in all of them: queries 300, selection validation, parameters 61234, device cpu."
    assert said in found.text
    assert len(found.shown["cells"]) == 40 and len(found.shown["cells"][0]) == 10


def test_protocol_shows_every_setting(made: Path) -> None:
    shown = {row[0]: row[1] for row in page(made).shown["protocol"]}
    assert shown["methods.dsdh.eta"] == "0.01" and shown["quantizers.original"] == "none"
    assert shown["top_k"] == "none" and shown["precision_at"] == "100, 1000"


def test_nothing_comes_from_outside(made: Path) -> None:
    html = (made / "index.html").read_text(encoding="utf-8")
    found = Page(html)
    assert not [tag for tag, _ in found.tags if tag in ("link", "img", "iframe", "image", "base")]
    names = ("src", "href", "xlink:href")
    pointers = [attrs[name] for _, attrs in found.tags for name in names if name in attrs]
    assert pointers and all(pointer.startswith("#") or (made / pointer).is_file() for pointer in pointers)
    beside = {pointer for pointer in pointers if not pointer.startswith("#")}
    assert {f"tables/results.{kind}" for kind in ("csv", "tex", "md")} <= beside
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert not re.search("https?://", without_names)


def test_ids_are_unique_and_every_anchor_has_its_place(made: Path, gappy: Path) -> None:
    for folder in (made, gappy):
        found = page(folder)
        ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        names = ("href", "xlink:href", "aria-labelledby", "aria-describedby")
        pointers = {attrs[name] for _, attrs in found.tags for name in names if name in attrs}
        wanted = {pointer.lstrip("#") for pointer in pointers if not (folder / pointer).is_file()}
        assert len(wanted) > 10 and wanted <= set(ids)


@pytest.mark.slow
def test_two_writes_give_the_same_bytes(tables: Path, made: Path, tmp_path: Path) -> None:
    again = written(tables, tmp_path / "again")
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert len(files) == 13 + 6 * 3
    assert [name for name in files if (made / name).read_bytes() != (again / name).read_bytes()] == []


def test_missing_numbers_say_why(gappy: Path) -> None:
    shown = page(gappy).shown["results"]
    row = {(line[0], line[1], line[2]): line for line in shown}
    assert row["dsdh", "swd", "16"][3:] == ["n/a no cells", "n/a", "0", *["n/a"] * 4, "n/a no cells", "n/a"]
    single = row["dsdh", "wr", "16"]
    assert single[3].endswith("± n/a") and single[5] == "1" and single[10] == "n/a n < 2"
    assert single[6][0] in "+−"
    html = (gappy / "index.html").read_text(encoding="utf-8")
    assert 'title="no standard deviation from n = 1"' in html
    text = (gappy / "results.txt").read_text(encoding="utf-8")
    assert "n/a (no cells)" in text and "n/a (n < 2)" in text and "± n/a" in text
    assert "6 cells have no numbers" in page(gappy).text


def test_selection_on_test_images_is_warned_about(gappy: Path) -> None:
    assert "Optimistic numbers." in page(gappy).text
    assert "optimistic" in (gappy / "results.txt").read_text(encoding="utf-8")


def test_names_are_never_code(gappy: Path) -> None:
    html = (gappy / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)&lt;/script&gt;|*$x$" in html
    assert [tag for tag, _ in Page(html).tags].count("script") == 1
    assert r"\<script>alert(1)\</script>\|\*$x$" in (gappy / "results.md").read_text(encoding="utf-8")
    for path in (gappy / "figures").iterdir():
        assert re.fullmatch(r"[\w-]+\.(svg|png)", path.name)
        assert path.suffix == ".png" or "<script>" not in path.read_text(encoding="utf-8")


def test_several_code_lengths_add_a_figure(gappy: Path) -> None:
    assert (gappy / "figures" / "bits.svg").exists() and (gappy / "figures" / "bits.png").exists()
    assert len(list((gappy / "figures").glob("loss-*.svg"))) == 2  # where there is a history


@pytest.mark.xdist_group("finished")
def test_made_up_studies_say_what_real_ones_say(finished: Project) -> None:
    """The same keys, with values of the same types."""
    real = json.loads((finished.results / "tables" / "about.json").read_text())
    made_up = about()
    assert {key: type(value) for key, value in made_up.items()} == {key: type(value) for key, value in real.items()}
    assert set(ABOUT) == set(real) - {"largest_class"}


@pytest.mark.parametrize("key", ABOUT)
def test_a_missing_key_is_one_line(key: str, tables: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    content = about()
    del content[key]
    (folder / "about.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=f"about.json lacks {key}. Run the aggregate stage again"):
        read(folder)


def test_one_seed_and_the_last_epoch(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", methods=("dsdh",), seeds=1, selection="last", ties="stable")
    (folder / "history.csv").write_text("method,quantizer,bits,epoch\n", encoding="utf-8")
    found = page(written(folder, tmp_path / "report"))
    assert "1 seed (0)" in found.text and "tied images stay in the order of the database" in found.text
    assert "last one; nothing was selected" in found.text


def test_balance_is_shown_with_its_spread_and_stars(tables: Path, made: Path) -> None:
    rows = page(made).shown["balance"]
    records = pandas.read_csv(tables / "balance.csv").to_dict("records")
    for record, shown in zip(records, rows, strict=True):
        star = "*" * (record["quantizer"] == "wr")
        assert shown[3] == f"{record['bit_imbalance_mean']:.4f} ± 0.0100{star}"
        assert shown[4] == f"{record['distinct_codes_mean']:.1f} ± 0.0{star}"
        assert shown[5] == "n/a no value"
    assert "* marks p < 0.05 against quantizer original" in page(made).text


def test_informativeness_is_shown_where_it_was_measured(made: Path, tmp_path: Path) -> None:
    assert "informativeness" not in page(made).tables
    folder = build_tables(tmp_path / "tables", informativeness=True)
    rows = page(written(folder, tmp_path / "report")).shown["informativeness"]
    records = pandas.read_csv(folder / "informativeness.csv").to_dict("records")
    assert [row[4] for row in rows] == [
        f"{r['informativeness_database_mean']:.4f} ± {r['informativeness_database_std']:.4f}" for r in records
    ]
    assert {row[3] for row in rows} == {"database"}


@pytest.mark.parametrize("name", ["about.json", "results.csv", "cells.csv", "history.csv", "balance.csv"])
def test_missing_file_is_one_clear_line(tables: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    (folder / name).unlink()
    (tmp_path / "report").mkdir()
    with pytest.raises(UserError, match=f"^[^\n]*{re.escape(name)} is missing[^\n]*$"):
        report.write(folder, tmp_path / "report")
    assert not list((tmp_path / "report").iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("about.json", "{", "not JSON"),
        ("about.json", "[]", "lacks study"),
        ("results.csv", "", "not a CSV table"),
        ("results.csv", "method,quantizer,bits\n", "lacks the column n"),
        ("history.csv", "method,quantizer,bits,epoch\na,b,16,first\n", "epoch must be a number, not 'first'"),
    ],
)
def test_broken_file_is_named(tables: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=f"{re.escape(name)}.*{message}"):
        report.write(folder, tmp_path)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH to open the page in")
    return found


def browse(chromium: str, folder: Path, scratch: Path, *options: str) -> str:
    """Open the page headless and give what the browser prints."""
    return opened(chromium, folder, scratch, *options).stdout


def opened(chromium: str, folder: Path, scratch: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open the page headless."""
    quiet = ("disable-quic", "no-first-run", "disable-background-networking", "disable-component-update",
             "disable-sync", "hide-scrollbars")  # fmt: skip
    switches = [f"--{name}" for name in ("headless", "no-sandbox", "disable-gpu", *quiet)]
    switches += [f"--user-data-dir={scratch / 'profile'}", *options]
    command = [chromium, *switches, (folder / "index.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(made: Path, chromium: str, tmp_path: Path, width: int) -> None:
    # A headless window lays out no narrower than 500 pixels, but a frame does; the frame's document is then
    # put in the place of the page around it, so that --dump-dom prints it.
    source = escape((made / "index.html").read_text(encoding="utf-8"))
    swap = "document.documentElement.replaceWith(this.contentDocument.documentElement.cloneNode(true))"
    style = f"width: {width}px; height: 900px; border: 0"
    frame = f'<iframe style="{style}" onload="{swap}" srcdoc="{source}"></iframe>'
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{frame}</body>", encoding="utf-8")
    png = tmp_path / "page.png"
    options = (f"--window-size={width},900", "--dump-dom", f"--screenshot={png}")
    dom = Page(browse(chromium, tmp_path, tmp_path, *options))
    root = next(attrs for tag, attrs in dom.tags if tag == "html")
    assert root["data-ready"] == "true" and root["data-width"] == str(width)
    assert root["data-overflow"] == "0", f"the page is {root['data-overflow']} px too wide"
    assert len(dom.tables["results"]) == 8
    heads = [attrs for tag, attrs in dom.tags if tag == "th" and attrs.get("scope") == "col"]
    assert heads and all(head["aria-sort"] == "none" for head in heads)
    width_and_height = [int.from_bytes(png.read_bytes()[start : start + 4], "big") for start in (16, 20)]
    assert width_and_height == [width, 900]
    assert len(set(_pixels(png.read_bytes()))) > 100  # different bytes; a blank page has a few


def test_headings_sort(made: Path, chromium: str, tmp_path: Path) -> None:
    html = (made / "index.html").read_text(encoding="utf-8")
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)  # it forbids any other script
    click = "document.querySelectorAll('#{} thead button')[{}].click();"
    clicks = click.format("results", 3) + 2 * click.format("metrics", 7) + 3 * click.format("cells", 4)
    html = html.replace("</body>", f"<script>{clicks}</script></body>")
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    dom, before = Page(browse(chromium, tmp_path, tmp_path, "--dump-dom")), Page(html)
    means = [float(row["map_mean"]) for row in dom.tables["results"]]
    assert means == sorted(means) and means != [float(row["map_mean"]) for row in before.tables["results"]]
    percents = [row[7] for row in dom.shown["metrics"]]
    numbers = [float(text.replace("−", "-")) for text in percents[:12]]
    assert numbers == sorted(numbers, reverse=True) and percents[12:] == ["n/a"] * 4
    assert dom.tables["cells"] == before.tables["cells"]
    orders = [attrs["aria-sort"] for tag, attrs in dom.tags if tag == "th" and "aria-sort" in attrs]
    assert sorted(orders)[:2] == ["ascending", "descending"] and set(sorted(orders)[2:]) == {"none"}


def _pixels(png: bytes) -> bytes:
    """The image's bytes, still filtered."""
    data, place = b"", 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + size]
        place += size + 12
    return zlib.decompress(data)
