"""``python -m pipeline <command>``: all that is done around the experiment; ``--help`` lists the commands.

Each command imports what it needs when it runs, so that ``--help`` doesn't wait for torch, DVC and MLflow.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.params import Params
from pipeline.params import read as read_params
from pipeline.runtime import numerics
from pipeline.runtime.entry import command, complain, said
from pipeline.runtime.errors import UserError
from pipeline.runtime.registry import file_names

HERE = Path(__file__).parent
PACKAGES = ("methods", "quantizers", "datasets", "protocols", "backbones")


def _on_params(run: Callable[[Params], str]) -> int:
    """Run a command that needs params.yaml, and print what it returns."""
    return command(lambda: run(read_params()))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 120})
@click.pass_context
def commands(context: click.Context) -> None:
    """Deep supervised hashing experiments as a reproducible pipeline. `dvc repro` runs the study of params.yaml."""
    # Queries to a server are no results: with all of the CPU's instructions, a network takes half of the time.
    if context.invoked_subcommand != "serve":
        numerics.apply()


@commands.command("list")
def list_names() -> int:
    """List what can be named in params.yaml: methods, quantizers, datasets, protocols, backbones."""
    from pipeline.params.signatures import title

    lines = []
    for package in PACKAGES:
        lines.append(f"\n{package}")
        for name in file_names(HERE / package):
            lines.append(f"  {name:<20}{title(HERE / package / f'{name}.py').removeprefix(f'``{name}``: ')}")
    return said("\n".join(lines))


@commands.command()
def check() -> int:
    """Check params.yaml; each mistake is one line."""
    return _on_params(lambda params: f"params.yaml: study {params['study']!r} is valid")


@commands.command()
@click.argument("name", default="")
@click.option("--force", is_flag=True, help="Overwrite edits of params.yaml that git doesn't have.")
def study(name: str, force: bool) -> int:
    """Write params.yaml for the study NAME; without a name, list the studies."""
    from pipeline.params import studies

    return command(lambda: studies.write(name, force=force) if name else studies.listed())


@commands.command()
def schema() -> int:
    """Write studies/params.schema.json, the JSON schema of params.yaml for editors."""
    from pipeline.params.json_schema import write_json_schema

    return command(write_json_schema)


@commands.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--dry-run", is_flag=True, help="List what would run, and why it is out of date.")
@click.option("--workers", type=click.IntRange(min=1), help="Stages at a time on this machine (params: sweep.workers).")
@click.option(
    "--gpu-share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Part of a GPU that a cell gets (params: sweep.gpu_share).",
)
@click.option("--no-shared-folder", is_flag=True, help="Exchange files by the DVC remote, whatever is shared.")
def sweep(targets: tuple[str, ...], **options: Any) -> int:
    """Run what is out of date in parallel; TARGETs are those of `dvc repro`, all of dvc.yaml unless given."""
    from pipeline.operations.sweep.command import run

    return run(list(targets), **options)


@commands.command()
def results() -> int:
    """Print the results table, and where to look further."""
    from pipeline.operations.results import table

    return _on_params(table)


@commands.command()
def track() -> None:
    """Log all results of the study to MLflow."""
    from pipeline.operations.tracking.command import track as log_all
    from pipeline.operations.tracking.patience import leave

    leave(_on_params(log_all))


@commands.command()
@click.argument("port", type=click.IntRange(1, 65535), default=5000)
def ui(port: int) -> int:
    """Open MLflow on the results; the server listens on PORT (5000)."""
    from pipeline.operations.tracking.ui import serve

    return _on_params(lambda params: serve(params["study"], port))


@commands.command()
@click.argument("group", metavar="METHOD-QUANTIZER-BITS", default="")
def register(group: str) -> None:
    """Register the best network of a (method, quantizer, bits) as a model in MLflow."""
    from pipeline.operations.tracking.patience import leave
    from pipeline.operations.tracking.register import register as register_best

    leave(_on_params(lambda params: register_best(params, group)))


@commands.command()
@click.argument("cell", metavar="CELL")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def onnx(cell: str, file: Path) -> int:
    """Write the network of CELL (or the best one of METHOD-QUANTIZER-BITS) as an ONNX file."""
    from pipeline.operations.model.onnx_file import write_onnx

    return _on_params(lambda params: write_onnx(params, cell, file))


@commands.command()
@click.argument("name", metavar="CELL|INDEX", default="")
@click.option("--kind", default="flat", help="flat (exact), hnsw, ivf or multihash.")
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder of the index, if not below results/.")
@click.option(
    "--add", "source", type=click.Path(path_type=Path), help="Add this folder of images to the INDEX instead."
)
def index(name: str, kind: str, target: Path | None, source: Path | None) -> int:
    """Build a search index of all images by the codes of CELL, or add images to an INDEX."""
    from pipeline.operations.search.add import add
    from pipeline.operations.search.build import build

    if source is not None:
        return command(lambda: add(Path(name), source))
    return _on_params(lambda params: build(params, name, kind, target))


@commands.command()
@click.argument("folder", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("query", metavar="IMAGE|ID")
@click.option("-k", "--count", default=10, help="Number of results (10).")
@click.option("--radius", type=int, help="Largest Hamming distance of a result.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page with thumbnails to this file, too.")
def search(folder: Path, query: str, **options: Any) -> int:
    """Find the images of an INDEX that are nearest to an IMAGE, or to the item with an ID."""
    from pipeline.operations.search.search import search as nearest

    return command(lambda: nearest(folder, query, **options))


@commands.command()
@click.argument("name", metavar="CELL")
def measure(name: str) -> int:
    """Measure all kinds of index on the codes of CELL: recall, mAP, queries per second, memory."""
    from pipeline.operations.search.measure import measure as measured

    return _on_params(lambda params: measured(params, name))


@commands.command()
@click.argument("folder", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("target")
@click.argument("out", metavar="[FOLDER]", required=False, type=click.Path(path_type=Path))
def export(folder: Path, target: str, out: Path | None) -> int:
    """Write the codes of an INDEX to FOLDER for numpy, pgvector, usearch, milvus or qdrant."""
    from pipeline.operations.search.export import export as write

    return command(lambda: write(folder, target, out))


@commands.command()
@click.argument("folder", metavar="INDEX", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", help="Address to listen on (127.0.0.1: this machine only).")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on (8000); 0 is a free one.")
def serve(folder: Path, host: str, port: int) -> int:
    """Serve an INDEX as a search page and a JSON API."""

    def run() -> str:
        from pipeline.operations.search.serve.server import serve as until_ended

        return until_ended(folder, host, port)

    return command(run)


@commands.command()
def verify() -> int:
    """Check that every number in the tables follows from the stored codes."""
    from pipeline.operations.verification import verify as verified

    return _on_params(verified)


@commands.command()
def published() -> int:
    """Count the published numbers that have a counterpart in results/."""
    from pipeline.report.published.coverage import coverage

    return _on_params(lambda _: coverage(Path()))


def _sharing(name: str) -> int:
    from pipeline.operations import sharing

    action: Any = getattr(sharing, name)
    return _on_params(action)


@commands.command()
def share() -> int:
    """Push the results to the DVC remote, run cache included."""
    return _sharing("share")


@commands.command("fetch-results")
def fetch_results() -> int:
    """Get the results of the commit that is checked out from the DVC remote."""
    return _sharing("fetch")


@commands.command("check-shared")
def check_shared() -> int:
    """Name the stages whose results the DVC remote lacks."""
    return _sharing("check")


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; a wrong one is one line on stderr and exit code 1, as every mistake of a user is."""
    try:
        code = commands.main(arguments, prog_name="python -m pipeline", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        return said(error.format_message())
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        hint = f"; see `{where.command_path} --help`" if where else ""
        complain(UserError(f"{' '.join(error.format_message().split()).rstrip('.')}{hint}"))
        return 1
    except click.Abort:
        return 130
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
