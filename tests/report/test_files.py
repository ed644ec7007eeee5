"""Every table as files: the same numbers as the page, plain headers, and LaTeX that compiles."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.report.source import read
from pipeline.report.tables import Column, Table, Value, build, markdown
from pipeline.report.tables.formats import KINDS, csv_text, latex, write_files
from pipeline.report.tables.formats.latex import LONG, escape
from tests.report.making import batched, beside, lose, timed, tuned
from tests.report.test_tables import build_tables, page, written

# One worker makes the page and its files.
pytestmark = pytest.mark.xdist_group("files")

NAMES = ("dsdh", "csq")
#: Whatever LaTeX, Markdown or CSV could take for something else.
HOSTILE = '[2pt]*a\\b{c}$d$&#%_^~<e>|"f"\'g`--h,\ni\tj ± Δ é 中'


def every_table(folder: Path, methods: tuple[str, ...] = NAMES) -> Path:
    """A study that has all tables."""
    build_tables(folder, methods=methods, informativeness=True, **beside())
    lose(folder, methods[-1], "swd", f"train: {HOSTILE}")
    tuned(folder)
    timed(folder)
    batched(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    return written(every_table(root / "tables"), root / "report")


def fields(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_every_table_has_its_files(whole: Path) -> None:
    names = [table.name for table in build(read(whole.parent / "tables"))]
    assert len(names) == len(set(names)) and len(names) >= 24
    assert {path.name for path in (whole / "tables").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in KINDS
    }
    document = (whole / "results.md").read_text(encoding="utf-8")
    assert all((whole / "tables" / f"{name}.md").read_text(encoding="utf-8") in document for name in names)


def test_files_have_the_numbers_of_the_page(whole: Path) -> None:
    compared = 0
    for name, rows in page(whole).tables.items():
        head, *body = fields(whole / "tables" / f"{name}.csv")
        assert len(body) == len(rows), name
        for values, row in zip(body, rows, strict=True):
            numbers = [text for text in row.values() if text]
            left = iter(values)
            assert all(number in left for number in numbers), (name, head, values, row)
            compared += len(numbers)
    assert compared > 500


def test_every_number_of_every_table_is_in_its_file(whole: Path) -> None:
    """Whatever the page shows of them: value, deviation, further numbers; and no two of a row share a name."""
    for table in build(read(whole.parent / "tables")):
        _, *body = fields(whole / "tables" / f"{table.name}.csv")
        for row, values in zip(table.rows, body, strict=True):
            parts = [part for value in row for part in (value, value.spread, *value.more) if part and part.data]
            left = iter(values)
            assert all(part.data in left for part in parts), (table.name, values)
            names = [part.column for part in parts]
            assert all(names) and len(names) == len(set(names)), (table.name, names)


def test_headers_are_plain_and_unique(whole: Path) -> None:
    for path in (whole / "tables").glob("*.csv"):
        head, *body = fields(path)
        assert len(head) == len(set(head)), path
        assert all(re.fullmatch(r"[a-z0-9@_]+", name) for name in head), (path, head)
        assert body and {len(row) for row in body} == {len(head)}


def test_headers_stay_plain_for_any_dataset(tmp_path: Path) -> None:
    folder = build_tables(tmp_path / "tables", dataset=HOSTILE, **beside("cifar10", "hswd-table5", "wr-table1"))
    write_files(build(read(folder)), tmp_path / "files")
    for name in ("hswd-table5", "wr-table1"):
        head, *_ = fields(tmp_path / "files" / f"{name}.csv")
        assert all(re.fullmatch(r"[a-z0-9@_]+", title) for title in head) and len(set(head)) == len(head), head


def test_results_file_gives_every_digit_back(whole: Path) -> None:
    made = pandas.read_csv(whole / "tables" / "results.csv", dtype=str, keep_default_na=False)
    given_rows = pandas.read_csv(whole.parent / "tables" / "results.csv", dtype=str, keep_default_na=False)
    pairs = {"map": "map_mean", "map_std": "map_std", "difference": "map_difference", "low": "map_low",
             "high": "map_high", "p_value": "map_p_value", "p_holm": "map_p_holm", "n": "n",
             "map_pessimistic": "map_pessimistic_mean", "map_optimistic": "map_optimistic_mean"}  # fmt: skip
    for ours, theirs in pairs.items():
        assert made[ours].tolist() == given_rows[theirs].tolist(), ours
    assert made["p_value_note"].tolist()[0] == "baseline"


def test_stars_and_missing_numbers_in_csv() -> None:
    rows = [[Value("a"), Value("0.1000", "0.1", "x", Value("0.0", "0.01", "x_std"), star=True)],
            [Value("b"), Value("n/a", "", "x", reason="lost", note="lost")]]  # fmt: skip
    text = csv_text(Table("t", "T", [], [Column("name", numeric=False), Column("x %")], rows))
    assert text == "name,x_percent,x_percent_std,x_percent_star,x_percent_note\na,0.1,0.01,yes,\nb,,,,lost\n"


def test_hostile_text_stays_in_its_field(tmp_path: Path) -> None:
    tables = build(read(every_table(tmp_path / "tables", (HOSTILE.replace("\n", " "), "csq"))))
    write_files(tables, tmp_path / "files")
    head, *body = fields(tmp_path / "files" / "missing.csv")
    assert body[0][head.index("reason")] == f"train: {HOSTILE}"
    lines = markdown(tables, "x").splitlines()
    assert all(line.count(" | ") >= 1 for line in lines if line.startswith("|"))
    assert not [line for line in lines if line.startswith("i\tj")], "a line break would end the table's row"


@given(some.text())
def test_escaped_text_has_no_command(text: str) -> None:
    found = escape(text)
    assert found.isascii() and "\n" not in found
    bare = re.sub(r"\\(text[a-z]+\{\}|[\\{}$&#%_])|\$\\(pm|Delta|times|geq|leq|beta)\$|\$-\$", "", found)
    assert not re.search(r"[\\$&#%_^~]", bare), found
    assert bare.count("{") == bare.count("}")


def _columns_of(line: str) -> int:
    return len(re.findall(r"(?<!\\)&", line)) + 1


def test_latex_is_well_formed(tmp_path: Path) -> None:
    for table in build(read(every_table(tmp_path / "tables", (HOSTILE, "csq")))):
        text = latex(table)
        kind = "longtable" if len(table.rows) > LONG else "table"
        assert text.count(rf"\begin{{{kind}}}") == text.count(rf"\end{{{kind}}}") == 1
        rows = [line for line in text.splitlines() if line.endswith(r" \\")]
        heads = 2 if kind == "longtable" else 1
        assert len(rows) == len(table.rows) + heads
        assert {_columns_of(row) for row in rows} == {len(table.columns)}
        for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", rf"\label{{tab:{table.name}}}"):
            assert part in text, (table.name, part)


def test_latex_shows_signs(tmp_path: Path) -> None:
    value = Value("-0.5 / +2.3%", "-0.5", "x", Value("0.1", "0.1", "x_std"), star=True, note="a_b")
    text = latex(Table("t", "100% Δ", ["A & B."], [Column("Δ %")], [[value]]))
    assert r"$-$0.5 / +2.3\% $\pm$ 0.1$^{*}$ (a\_b) \\" in text
    assert r"\caption{100\% $\Delta$. A \& B.}" in text


def test_latex_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no pdflatex on the PATH to compile the tables with")
    tables = build(read(every_table(tmp_path / "tables", (HOSTILE, "csq"))))
    write_files(tables, tmp_path / "files")
    inputs = "\n".join(rf"\input{{files/{table.name}}}\clearpage" for table in tables)
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs, longtable}"
    (tmp_path / "all.tex").write_text(f"{preamble}\n\\begin{{document}}\n{inputs}\n\\end{{document}}\n")
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10000
    assert "Missing character" not in (tmp_path / "all.log").read_text(errors="replace")
