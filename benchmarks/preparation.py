"""Images per second and peak memory of ``prepare``, compared with a plain loop over the same images.

    python -m benchmarks.preparation [--shapes 200000] [PATH ...]

Each PATH contains CIFAR-10 as image files: a folder or a zip archive with train/<class>/ and test/<class>/. The shapes
are generated. Every measurement runs in a separate process. The loop (open, convert, resize, crop, append, np.save)
runs on a part of the images, and its time and memory, which grow with the number of images, are scaled.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import datasets
from pipeline.datasets import Dataset
from pipeline.preparation import arrays
from pipeline.runtime import machine

PART = 10_000


def plain(dataset: Dataset, size: int, target: Path) -> None:
    """A straightforward loop without ``prepare``."""
    images = []
    for row in range(min(PART, len(dataset.ids))):
        with dataset.image(row) as image:
            rgb = image.convert("RGB")
        scale = size / min(rgb.size)
        rgb = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.BILINEAR)
        left, top = (rgb.width - size) // 2, (rgb.height - size) // 2
        images.append(np.asarray(rgb.crop((left, top, left + size, top + size))))
    np.save(target / "images.npy", np.stack(images))


def opened(dataset: Dataset, size: int, target: Path) -> None:
    """Only open and decode the images."""
    for row in range(min(PART, len(dataset.ids))):
        dataset.image(row).load()


def prepare(dataset: Dataset, size: int, target: Path, processes: int) -> None:
    arrays.write(dataset, "benchmark", target, image_size=size, processes=processes)


def measured(
    work: Callable[..., None], name: str, arguments: dict[str, Any], size: int, *further: Any
) -> tuple[float, float, float]:
    """Seconds, megabytes needed in addition to those for opening the dataset, and megabytes in total."""
    dataset = datasets.create(name, **arguments)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        work(dataset, size, Path(folder), *further)
        seconds = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # This is the peak of the largest child, times the number of children. Shared memory is counted for each child.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (further[0] if further else 0)
    return seconds, (own - before) / 1e3, (own + children) / 1e3


def alone(*arguments: Any) -> tuple[float, float, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(measured, *arguments).result()


def row(label: str, name: str, arguments: dict[str, Any], size: int, cores: int) -> str:
    count = len(datasets.create(name, **arguments).ids)
    part = min(PART, count)
    source = (name, arguments, size)
    open_seconds, _, _ = alone(opened, *source)
    loop_seconds, loop_grown, loop_all = alone(plain, *source)
    loop_memory = loop_all + loop_grown * (count / part - 1)
    one_seconds, _, one_memory = alone(prepare, *source, 1)
    seconds, _, memory = alone(prepare, *source, cores)
    return (
        f"| {label} | {part / open_seconds:,.0f} | {part / loop_seconds:,.0f} | {loop_memory:,.0f} | "
        f"{count / one_seconds:,.0f} | {one_memory:,.0f} | {count / seconds:,.0f} | {memory:,.0f} | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--shapes", type=int, default=200_000, help="how many are drawn; 0 for none")
    options = parser.parse_args()
    cores = machine.cores()
    print(f"| images | opened, /s | loop, /s | MB | prepare, 1 process, /s | MB | {cores} processes, /s | MB | s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for path in options.paths:
        kind = "zip archive" if Path(path).is_file() else "folder"
        count = len(datasets.create("cifar10", path=path).ids)
        print(row(f"{count:,} CIFAR-10 files, {kind}, 32 pixels", "cifar10", {"path": path}, 32, cores), flush=True)
    if options.shapes:
        label = f"{options.shapes:,} shapes, 64 pixels"
        print(row(label, "shapes", {"path": None, "images": options.shapes}, 64, cores), flush=True)


if __name__ == "__main__":
    main()
