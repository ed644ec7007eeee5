"""Figures of what only some studies measure, and the page around them."""

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from types import ModuleType

import matplotlib.style
import numpy as np
import pandas
import pytest
from PIL import Image

from pipeline.report import figures
from pipeline.report import page as page_module
from pipeline.report.figures.saving import save
from pipeline.report.figures.style import PALETTE
from pipeline.report.source import read
from pipeline.report.tables import Column, Table, Value, build
from pipeline.runtime.errors import UserError
from tests import measured
from tests.messages import one_line
from tests.report.test_tables import Page, browse, build_tables, opened, page, written
from tests.report.test_tables import chromium as chromium

# One worker makes the page and its files.
pytestmark = pytest.mark.xdist_group("figures")

GROUPS = ["map", "bits", "weight", "batch-size", "seconds", "overhead", "validation", "precision-recall", "loss",
          "tsne", "gallery"]  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, two code lengths, everything measured, and one (method, quantizer) without cells."""
    lost = [
        {
            "cell": f"csq-wr-{bits}-{seed}",
            "method": "csq",
            "quantizer": "wr",
            "bits": bits,
            "seed": seed,
            "reason": "lost",
        }
        for bits in (16, 32)
        for seed in (0, 1)
    ]
    folder = tmp_path_factory.mktemp("input") / "tables"
    build_tables(folder, bits=(16, 32), seeds=2, lost={("csq", "wr"): 2}, missing=lost)
    return measured.add_all(folder, queries=2)


@pytest.fixture(scope="module")
def made(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tables, tmp_path_factory.mktemp("output") / "report")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    """The report's style for what a test draws by itself."""
    with matplotlib.style.context(["default", figures.style.STYLE]):
        yield


def drawn(made: Path, name: str) -> str:
    return (made / "figures" / f"{name}.svg").read_text(encoding="utf-8")


def drawn_anew(tables: Path, target: Path, *modules: ModuleType) -> list[figures.Group]:
    """Only the figures of these modules."""
    target.mkdir()
    source = read(tables)
    return [save(group, target) for module in modules for group in module.groups(source)]


def test_everything_measured_is_drawn_as_two_files(made: Path) -> None:
    names = {path.stem for path in (made / "figures").iterdir()}
    lengths = [f"{name}-{bits}" for name in ("batch-size", "seconds", "overhead", "validation") for bits in (16, 32)]
    assert names > {"map", "bits", "weight-wr", "weight-hswd", "tsne-16-0", "tsne-32-0", *lengths}
    assert len([name for name in names if name.startswith("gallery-")]) == 2 * 4 * 2
    assert {path.suffix for path in (made / "figures").iterdir()} == {".svg", ".png"}
    assert len(list((made / "figures").iterdir())) == 2 * len(names)
    ids = [attrs["id"] for tag, attrs in page(made).tags if tag == "figure"]
    assert ids == [f"figure-{name}" for name in GROUPS]


def test_drawing_again_gives_the_same_bytes(tables: Path, made: Path, tmp_path: Path) -> None:
    drawn_anew(tables, tmp_path / "again", figures.tuning, figures.timing, figures.tsne, figures.gallery)
    files = sorted(path.name for path in (tmp_path / "again").iterdir())
    assert len(files) == 2 * (2 + 2 * 2 + 2 + 16)
    again, before = (
        [(folder / name).read_bytes() for name in files] for folder in (tmp_path / "again", made / "figures")
    )
    assert again == before


def test_a_line_per_code_length_with_the_chosen_weight_and_the_baseline(tables: Path) -> None:
    source = read(tables)
    drafts = {draft.name: draft.figure for group in figures.tuning.groups(source) for draft in group.drafts}
    assert list(drafts) == ["weight-wr", "weight-hswd"]
    trials = pandas.read_csv(tables / "tuning.csv")
    axes = drafts["weight-wr"].axes[0]
    own = trials[(trials["method"] == axes.get_title(loc="left")) & (trials["quantizer"] == "wr")]
    lines = [line for line in axes.lines if len(line.get_xdata()) == len(measured.WEIGHTS)]
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    levels = [line for line in axes.lines if line.get_linestyle() == ":"]
    for bits, line, ring, level in zip((16, 32), lines, rings, levels, strict=True):
        rows = own[own["bits"] == bits]
        assert list(line.get_xdata()) == list(rows["weight"])
        assert list(line.get_ydata()) == list(rows["validation_map_mean"])
        assert list(ring.get_xdata()) == list(rows.loc[rows["chosen"] == "yes", "weight"])
        base = trials[(trials["quantizer"] == "original") & (trials["bits"] == bits)]["validation_map_mean"].max()
        assert set(level.get_ydata()) == {base}


def test_of_trials_with_one_weight_the_best_is_a_point(tables: Path) -> None:
    trials = pandas.read_csv(tables / "tuning.csv", dtype=str, keep_default_na=False)
    worse = trials[trials["quantizer"] == "wr"].assign(validation_map_mean="0.1", learning_rate="0.9", chosen="no")
    figure = figures.tuning.draw(
        read(tables),
        *(figures.style.numeric(table) for table in (pandas.concat([worse, trials[trials["quantizer"] == "wr"]]),
                                                     trials[trials["quantizer"] == "original"]))
    )  # fmt: skip
    points = [y for axes in figure.axes for line in axes.lines for y in line.get_ydata()]
    assert points and min(points) > 0.5


def test_a_tuning_without_weights_has_no_figure(tables: Path) -> None:
    source = read(tables)
    other = replace(source, tuning=source.tuning.drop(columns="weight"))
    assert list(figures.tuning.groups(source)) and not list(figures.tuning.groups(other))


def test_the_additional_time_is_that_of_the_file(tables: Path) -> None:
    seconds, overhead = figures.timing.groups(read(tables))
    timing = pandas.read_csv(tables / "timing.csv")
    (first, _), (also, _) = ([draft.figure for draft in group.drafts] for group in (seconds, overhead))
    for figure, column, names in ((first, "seconds_median", 4), (also, "overhead_percent", 3)):
        axes = figure.axes[0]
        rows = timing[(timing["method"] == axes.get_title(loc="left")) & (timing["bits"] == 16)].dropna(subset=[column])
        lines = [line for line in axes.lines if len(line.get_xdata()) == len(measured.BATCHES)]
        assert len(lines) == names
        assert [list(line.get_ydata()) for line in lines] == [
            list(own[column]) for _, own in rows.groupby("quantizer", sort=False)
        ]
        assert axes.get_ylim()[0] <= 0


def test_tsne_has_a_column_a_method_with_the_baseline_above(tables: Path) -> None:
    (group,) = figures.tsne.groups(read(tables))
    first, second = group.drafts
    assert [first.title, second.title] == ["16 bits, seed 0", "32 bits, seed 0"]
    titles = [axes.get_title(loc="left") for axes in first.figure.axes]
    assert titles == ["images", "dsdh\noriginal", "csq\noriginal", "features", "dsdh\nwr", "csq\nwr",
                      "", "dsdh\nswd", "csq\nswd", "", "dsdh\nhswd", "csq\nhswd"]  # fmt: skip
    legend = [text.get_text() for text in first.figure.legends[0].get_texts()]
    assert legend == [f"digit {place}" for place in range(10)]
    points = first.figure.axes[1].collections[0].get_offsets()
    codes = pandas.read_csv(tables / "tsne.csv").query("method == 'dsdh' and quantizer == 'original' and bits == 16")
    assert np.array_equal(np.asarray(points), codes[["x", "y"]].to_numpy())


def test_more_classes_than_colours_take_other_markers(tables: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    measured.add_tsne(folder, points=46, classes=23)
    (group,) = figures.tsne.groups(read(folder))
    figure = next(iter(group.drafts)).figure
    handles = figure.legends[0].legend_handles
    looks = {(handle.get_color(), handle.get_marker()) for handle in handles}
    assert len(handles) == len(looks) == 23


def test_nine_methods_of_tsne_take_two_rows_of_columns(tmp_path: Path) -> None:
    names = tuple("abcdefghi")
    folder = build_tables(tmp_path / "tables", methods=names, seeds=1)
    measured.add_tsne(folder, points=10)
    (group,) = figures.tsne.groups(read(folder))
    (draft,) = group.drafts
    titles = [axes.get_title(loc="left") for axes in draft.figure.axes]
    assert len(titles) == 2 * 4 * 5
    assert [title.split("\n")[0] for title in titles if title.endswith("original")] == list(names)


def test_a_thousand_points_a_panel_stay_small(tables: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    measured.add_tsne(folder, points=1000)
    groups = drawn_anew(folder, tmp_path / "figures", figures.tsne)
    svg = groups[0].figures[0].svg
    assert svg.count("data:image/png") == 10  # a panel each
    assert len(svg) < 400_000


def test_a_gallery_has_the_tiles_as_they_are(tables: Path, made: Path) -> None:
    name = "dsdh-wr-16-0"
    svg = drawn(made, f"gallery-{name}")
    (encoded,) = re.findall(r"base64,\s*([A-Za-z0-9+/=\s]+)", svg)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")).astype(int)
    grid = np.asarray(Image.open(tables / "gallery" / f"{name}.png")).astype(int)
    side, down = 8, 8 + 3
    found = sheet[down : down + side, 9 : 9 + side, :3]  # second query's nearest
    assert np.abs(found - grid[side : 2 * side, side : 2 * side]).mean() < 12  # 256 colours for the whole sheet
    assert sheet[0, side, 3] == 0 and "pixelated" in svg


def test_a_gallery_tells_right_from_wrong_without_colour(tables: Path, made: Path) -> None:
    rows = pandas.read_csv(tables / "gallery.csv")
    own = rows[(rows["method"] == "dsdh") & (rows["quantizer"] == "wr") & (rows["bits"] == 16)]
    wrong = (own["relevant"] == "no").sum()
    svg = drawn(made, "gallery-dsdh-wr-16-0")
    assert 0 < wrong < len(own)
    marks = [f"{'✓' if hit.relevant == 'yes' else '✗'} {hit.distance} {hit.classes}" for hit in own.itertuples()]
    assert sorted(re.findall(r">([✓✗] \d+ digit \d)<", svg)) == sorted(marks)
    assert svg.count("stroke-dasharray") == wrong
    html = (made / "index.html").read_text(encoding="utf-8")
    assert f"dsdh, wr, 16 bits: {len(own) - wrong} of {len(own)} right" in html
    assert "drawn at random" in html


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), ["is missing", "gallery.csv names its cell"]),
        (lambda path: path.write_bytes(b"no image"), ["cannot be read as an image"]),
        (lambda path: Image.new("RGB", (88, 30)).save(path), ["88 x 30 pixels", "2 rows of 11 square tiles"]),
    ],
)
def test_a_wrong_gallery_is_one_clear_line(tables: Path, tmp_path: Path, harm: object, said: list[str]) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    harm(folder / "gallery" / "dsdh-original-16-0.png")
    with pytest.raises(UserError) as error:
        drawn_anew(folder, tmp_path / "figures", figures.gallery)
    one_line(error, "dsdh-original-16-0.png", "Run the aggregate stage again.", *said)


@pytest.mark.parametrize(("name", "column"), [("tsne", "label"), ("gallery", "distance"), ("timing", "batch_size")])
def test_what_must_be_a_number_is_checked(tables: Path, tmp_path: Path, name: str, column: str) -> None:
    folder = shutil.copytree(tables, tmp_path / "tables")
    table = pandas.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    table.loc[1, column] = "many"
    table.to_csv(folder / f"{name}.csv", index=False)
    with pytest.raises(UserError) as error:
        read(folder)
    one_line(error, f"{name}.csv", f"{column} must be a number, not 'many'")


def test_only_figures_of_a_kind_are_folded_and_the_first_is_open(made: Path) -> None:
    html = (made / "index.html").read_text(encoding="utf-8")
    cards = dict(re.findall(r'<figure class="card" id="figure-([\w-]+)">(.*?)</figure>', html, re.DOTALL))
    assert cards["map"].count("<details") == 0
    assert cards["validation"].count("<details") == 2 and cards["validation"].count("<details open>") == 1
    assert cards["gallery"].count("<details") == 16 + 1 and "<summary>15 more</summary>" in cards["gallery"]


def test_embedded_images_are_allowed_only_where_they_are_and_only_inside(made: Path, tmp_path: Path) -> None:
    found = page(made)
    (policy,) = [attrs["content"] for tag, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[^']+'; img-src data:", policy
    )
    names = ("src", "href", "xlink:href")
    pointers = [attrs[name] for _, attrs in found.tags for name in names if name in attrs]
    inside = [pointer for pointer in pointers if not (made / pointer[:200]).is_file()]
    assert all(pointer.startswith(("#", "data:image/png;base64,")) for pointer in inside)
    bare = written(build_tables(tmp_path / "bare", seeds=1), tmp_path / "report")
    assert "img-src" not in (bare / "index.html").read_text(encoding="utf-8")


def test_ids_are_unique_and_every_anchor_has_its_place(made: Path) -> None:
    found = page(made)
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {attrs[name] for _, attrs in found.tags for name in ("href", "xlink:href") if name in attrs}
    assert {pointer[1:] for pointer in wanted if pointer.startswith("#")} <= set(ids)


def test_missing_cells_are_counted_and_shown(made: Path) -> None:
    assert "4 cells have no numbers" in page(made).text
    assert drawn(made, "map").count(">n/a<") == 2
    rows = [row for row in page(made).shown["results"] if row[:2] == ["csq", "wr"]]
    assert [row[3] for row in rows] == ["n/a no cells", "n/a no cells"]


def test_a_table_of_missing_cells_is_linked(tables: Path, made: Path) -> None:
    source = read(tables)
    listed = Table("missing", "Missing cells", ["Why."], [Column("cell", numeric=False)], [[Value("csq-wr-16-0")]])
    others = [table for table in build(source) if table.name != "missing"]
    html = page_module.page(source, [*others, listed], [])
    assert '<a href="#missing-section">' in html and 'id="missing-section"' in html
    assert Page(html).shown["missing"] == [["csq-wr-16-0"]]
    assert "#missing-section" not in page_module.page(source, others, [])


def test_a_table_the_page_has_never_heard_of_gets_its_section(tables: Path) -> None:
    source = read(tables)
    columns = [Column("method", numeric=False), Column("quantizer", numeric=False), Column("value")]
    row = [Value("dsdh", column="method"), Value("theirs", column="quantizer"), Value("0.5", "0.5", "value")]
    others = [Table(f"further-{place}", f"Further {place}", ["Why."], columns, [row]) for place in range(9)]
    html = page_module.page(source, [*build(source), *others], [])
    found = Page(html)
    assert found.shown["further-8"] == [["dsdh", "theirs", "0.5"]]
    nav = html[html.index("<nav") : html.index("</nav>")]
    further = len(build(source)) - 1 + len(others)
    assert nav.count("<li>") == 2 + 1 + further and f"Further tables ({further})" in nav
    assert nav.index("#metrics-section") < nav.index("#further-0-section") < nav.index("#further-8-section")


def test_few_entries_stand_in_a_flat_list(tables: Path) -> None:
    built = build(read(tables))
    group = figures.Group("figure-map", "mAP", "", [])
    entries = page_module.contents(built, [group])
    assert [entry.anchor for entry in entries][:3] == ["results-section", "reading", "figures"]
    assert not any(entry.inner for entry in entries) and len(entries) <= 13


def test_what_the_page_has_no_room_for_is_linked(tables: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "INLINE_LIMIT", 30_000)
    source = read(tables)
    saved = [figures.SavedFigure(f"p{place}", f"Figure {place}", "<svg>" + "x" * 20_000 + "</svg>") for place in (1, 2)]
    html = page_module.page(source, build(source), [figures.Group("figure-p", "P", "Both.", saved)])
    assert html.count("<svg") == 1 and '<a href="figures/p2.svg">' in html


@pytest.mark.parametrize("width", [1280, 360])
def test_page_in_a_browser(made: Path, chromium: str, tmp_path: Path, width: int) -> None:
    # in a frame, since a headless window lays out no narrower than 500 pixels; see test_report.py
    source = escape((made / "index.html").read_text(encoding="utf-8"))
    probe = ("const d = this.contentDocument, images = [...d.querySelectorAll('svg image')];"
             "d.documentElement.dataset.images = images.filter(i => i.getBBox().width > 0).length;"
             "document.documentElement.replaceWith(d.documentElement.cloneNode(true))")  # fmt: skip
    frame = f'<iframe style="width: {width}px; height: 900px; border: 0" onload="{probe}" srcdoc="{source}"></iframe>'
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{frame}</body>", encoding="utf-8")
    dom = Page(browse(chromium, tmp_path, tmp_path, f"--window-size={width},900", "--dump-dom"))
    root = next(attrs for tag, attrs in dom.tags if tag == "html")
    assert root["data-ready"] == "true" and root["data-width"] == str(width)
    assert root["data-overflow"] == "0", f"the page is {root['data-overflow']} px too wide"
    assert int(root["data-images"]) > 10


def test_the_pages_policy_lets_its_images_in(made: Path, chromium: str, tmp_path: Path) -> None:
    html = (made / "index.html").read_text(encoding="utf-8")
    refused = []
    for place, text in enumerate((html, html.replace("; img-src data:", ""))):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / "index.html").write_text(text, encoding="utf-8")
        said = opened(chromium, folder, folder, "--enable-logging=stderr", "--dump-dom").stderr
        refused.append("Content Security Policy" in said)
    assert refused == [False, True]


def test_class_names_and_colours_are_those_of_the_study(tables: Path) -> None:
    about = json.loads((tables / "about.json").read_text(encoding="utf-8"))
    assert about["class_names"][3] == "digit 3"
    assert not set(figures.tsne.CLASSES) & set(PALETTE), "classes keep their colours in the dark scheme"


def test_an_image_without_a_label_looks_like_no_class(tables: Path, tmp_path: Path) -> None:
    from pipeline.report.figures.tsne import _colour, _marker

    copy = tmp_path / "tables"
    shutil.copytree(tables, copy)
    points = pandas.read_csv(copy / "tsne.csv")
    points.loc[:4, "label"] = -1
    points.to_csv(copy / "tsne.csv", index=False)
    source = read(copy)
    assert (_colour(-1), _marker(-1)) not in {(_colour(label), _marker(label)) for label in range(90)}
    draft = next(iter(next(figures.tsne.groups(source)).drafts))
    names = [text.get_text() for legend in draft.figure.legends for text in legend.get_texts()]
    assert names[0] == "no label" and len(names) == len(set(names))


def test_methods_without_training_have_figures_of_their_own(tmp_path: Path) -> None:
    """Their mAP is far below, and would press all others together on one axis."""
    source = read(build_tables(tmp_path / "tables", bits=(16, 32)))
    losses = source.history["loss_mean"].where(source.history["method"] != "csq", "")
    mixed = replace(source, history=source.history.assign(loss_mean=losses))
    for module in (figures.map_by_method, figures.bits):
        (alone,) = (list(group.drafts) for group in module.groups(source))
        assert len(alone) == 1
        (group,) = module.groups(mixed)
        trained, free = group.drafts
        assert (free.name, free.title) == (
            f"{trained.name}-without-training",
            f"{trained.title}, methods without training",
        )
    assert [axes.get_title(loc="left") for axes in trained.figure.axes] == ["dsdh"]
    assert [axes.get_title(loc="left") for axes in free.figure.axes] == ["csq"]
