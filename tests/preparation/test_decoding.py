"""Decoding: the same bytes for any number of processes, going on after an interruption, and broken files."""

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets._files import Files
from pipeline.datasets._folder import ImageFiles
from pipeline.preparation import arrays, decoding
from pipeline.preparation.decoding import CHUNK
from pipeline.runtime.errors import UserError
from tests.messages import one_line
from tests.preparation.helpers import Made, contents, folder_of, prepared
from tests.preparation.test_square import HUGE, chunk

MANY = 4 * CHUNK + 100  # enough for several processes


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted call of one process writes of ``Made(MANY)``."""
    folder = tmp_path_factory.mktemp("expected")
    prepared(Made(MANY), folder, processes=1)
    return contents(folder)


def write(dataset: Made, folder: Path, **options: Any) -> None:
    arrays.write(dataset, "made", folder, image_size=options.pop("size", 4), **options)


def cut(dataset: Made, folder: Path, chunks: int, **options: Any) -> None:
    """Interrupt a call after so many chunks."""
    done, real = 0, decoding._chunk

    def some(*arguments: Any) -> Any:
        nonlocal done
        if done == chunks:
            raise KeyboardInterrupt
        done += 1
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_chunk", some)
        with pytest.raises(KeyboardInterrupt):
            write(dataset, folder, processes=1, **options)


# Several processes.


def test_several_processes_write_the_same_bytes_as_one(tmp_path: Path, expected: dict[str, bytes]) -> None:
    write(Made(MANY), tmp_path, processes=2)
    assert contents(tmp_path) == expected


def test_several_processes_do_each_image_once(tmp_path: Path) -> None:
    dataset = Made(MANY, log=tmp_path / "log")
    prepared(dataset, tmp_path / "data", processes=2)
    assert dataset.decoded() == list(range(MANY))


class Deadly(Made):
    """Ends the process that decodes its last image, as a system without memory does."""

    def image(self, row: int) -> Image.Image:
        if row == len(self.ids) - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().image(row)


@pytest.mark.slow
def test_a_process_that_is_killed_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        write(Deadly(MANY), tmp_path, processes=2)
    one_line(error, "was killed", "memory", "run again")
    assert (tmp_path / "journal.jsonl").exists()


# Interruptions.

PREPARE = """
import sys
from pathlib import Path
from pipeline.preparation import arrays
from tests.preparation.helpers import Made

if __name__ == "__main__":
    dataset = Made({count}, log=Path({log!r}), pause=0.001)
    arrays.write(dataset, "made", Path({folder!r}), image_size=4, processes=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["all processes", "the first process"])
def test_a_killed_call_is_continued_and_ends_in_the_same_bytes(
    tmp_path: Path, expected: dict[str, bytes], whom: str
) -> None:
    folder, log, script = tmp_path / "data", tmp_path / "log", tmp_path / "prepare.py"
    folder.mkdir()
    script.write_text(PREPARE.format(count=MANY, log=str(log), folder=str(folder)))
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    run = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
    journal = folder / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 3):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    (os.killpg if whom == "all processes" else os.kill)(run.pid, signal.SIGKILL)
    run.wait()
    finished = {json.loads(line)[0] for line in journal.read_text().splitlines()[1:] if line.endswith("]")}
    assert 2 <= len(finished) < 5
    if whom == "the first process":
        # The others notice, and write no more.
        while _alive(run.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    log.unlink()

    again = Made(MANY, log=log, pause=0.001)
    write(again, folder, processes=1)
    assert contents(folder) == expected
    redone = again.decoded()
    assert redone == [row for row in range(MANY) if row // CHUNK * CHUNK not in finished]


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    # One that has ended counts until init has noticed.
    states = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True).stdout.split()
    return any(not state.startswith("Z") for state in states)


def test_what_is_done_is_not_decoded_again(tmp_path: Path, expected: dict[str, bytes]) -> None:
    dataset = Made(MANY, log=tmp_path / "log")
    folder = tmp_path / "data"
    folder.mkdir()
    cut(dataset, folder, 3)
    assert dataset.decoded() == list(range(3 * CHUNK))
    write(dataset, folder, processes=1)
    assert dataset.decoded() == list(range(3 * CHUNK, MANY))
    assert contents(folder) == expected


def damage_pixels(folder: Path) -> None:
    images = np.load(folder / "images.npy", mmap_mode="r+")
    images[CHUNK + 7, 1, 2, 0] ^= 1
    images.flush()


def cut_line(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text()[:-20])


def zeros_after_a_power_cut(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20] + b"\0\0\xff\n[]\n{}\n3")


def harmed(root: Path, harm: Callable[[Path], None]) -> tuple[Made, Path]:
    """A dataset whose first two chunks are done, and the folder of them with something wrong in it."""
    dataset, folder = Made(MANY, log=root / "log"), root / "data"
    folder.mkdir()
    cut(dataset, folder, 2)
    harm(folder)
    dataset.decoded()
    return dataset, folder


@pytest.mark.parametrize("harm", [damage_pixels, cut_line, zeros_after_a_power_cut])
def test_damage_costs_the_damaged_chunk_alone(
    tmp_path: Path, expected: dict[str, bytes], harm: Callable[[Path], None]
) -> None:
    dataset, folder = harmed(tmp_path, harm)
    cut(dataset, folder, 1)
    assert dataset.decoded() == list(range(CHUNK, 2 * CHUNK))
    # What the second call noted after the damage counts as well.
    write(dataset, folder, processes=1)
    assert dataset.decoded() == list(range(2 * CHUNK, MANY))
    assert contents(folder) == expected


def no_images(folder: Path) -> None:
    (folder / "images.npy").unlink()


def short_images(folder: Path) -> None:
    with (folder / "images.npy").open("r+b") as stream:
        stream.truncate(1000)


def empty_images(folder: Path) -> None:
    (folder / "images.npy").write_bytes(b"")


def no_journal(folder: Path) -> None:
    (folder / "journal.jsonl").unlink()


def empty_journal(folder: Path) -> None:
    (folder / "journal.jsonl").write_bytes(b"")


@pytest.mark.parametrize("harm", [no_images, short_images, empty_images, no_journal, empty_journal])
def test_what_cannot_be_continued_is_begun_anew(
    tmp_path: Path, expected: dict[str, bytes], harm: Callable[[Path], None]
) -> None:
    dataset, folder = harmed(tmp_path, harm)
    write(dataset, folder, processes=1)
    assert dataset.decoded() == list(range(MANY))
    assert contents(folder) == expected


def other_labels(dataset: Made) -> None:
    dataset.labels = 1 - dataset.labels


def other_ids(dataset: Made) -> None:
    dataset.ids = ["other", *dataset.ids[1:]]


def other_arguments(dataset: Made) -> None:
    """As another seed or path: what the ids and labels don't tell."""
    dataset.pixels = 255 - dataset.pixels


@pytest.mark.parametrize("change", [other_labels, other_ids, other_arguments])
def test_another_dataset_is_not_continued(tmp_path: Path, change: Callable[[Made], None]) -> None:
    dataset = Made(2 * CHUNK, log=tmp_path / "log")
    folder = tmp_path / "data"
    folder.mkdir()
    cut(dataset, folder, 1)
    dataset.decoded()
    change(dataset)
    write(dataset, folder)
    assert dataset.decoded() == list(range(2 * CHUNK))
    assert np.array_equal(arrays.load(folder).images, dataset.pixels)


def test_a_dataset_of_large_arrays_is_known_by_all_of_them() -> None:
    """Python hands large arrays over in another way than small ones."""
    dataset, same, other = Made(10_000), Made(10_000), Made(10_000)
    other.pixels[-1, -1, -1, -1] ^= 1
    keys = [decoding._key(each, 4) for each in (dataset, same, other)]
    assert keys[0] == keys[1] != keys[2]


def test_another_size_is_not_continued(tmp_path: Path) -> None:
    dataset = Made(2 * CHUNK, log=tmp_path / "log")
    folder = tmp_path / "data"
    folder.mkdir()
    cut(dataset, folder, 1)
    dataset.decoded()
    write(dataset, folder, size=3)
    assert dataset.decoded() == list(range(2 * CHUNK))
    assert arrays.load(folder).images.shape == (2 * CHUNK, 3, 3, 3)


# Images that can't be read.


def test_bad_images_are_counted_and_ten_of_them_named(tmp_path: Path) -> None:
    broken = tuple(range(3, 300, 9))
    with pytest.raises(UserError) as error:
        write(Made(300, broken=broken), tmp_path)
    shown = "; ".join(f"folder/{row}.png: broken on purpose" for row in broken[:10])
    one_line(error, f"33 of 300 images can't be read: {shown}; and 23 more.", "dataset.on_bad_image: skip")


def test_a_single_bad_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        write(Made(30, broken=(7,)), tmp_path)
    one_line(error, "1 of 30 images can't be read: folder/7.png: broken on purpose. Replace")


def test_only_the_chunk_of_a_replaced_image_is_decoded_again(tmp_path: Path, expected: dict[str, bytes]) -> None:
    log, folder = tmp_path / "log", tmp_path / "data"
    folder.mkdir()
    files = tmp_path / "files"
    files.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3 * CHUNK, 4, 4, 3), dtype=np.uint8)
    for row, content in enumerate(pixels):
        Image.fromarray(content).save(files / f"{row:04}.png", compress_level=0)
    good = (files / "0300.png").read_bytes()
    (files / "0300.png").write_bytes(good[:60])
    dataset = Logged(files, log)
    with pytest.raises(UserError) as error:
        arrays.write(dataset, "made", folder, image_size=4)
    one_line(error, "1 of 768", "0300.png")
    assert dataset.opened() == 3 * CHUNK
    (files / "0300.png").write_bytes(good)
    arrays.write(Logged(files, log), "made", folder, image_size=4)
    assert dataset.opened() == CHUNK
    assert np.array_equal(arrays.load(folder).images, pixels)


class Logged(ImageFiles):
    """A folder of files that notes each time one is opened."""

    def __init__(self, folder: Path, log: Path) -> None:
        names = sorted(file.name for file in folder.iterdir())
        super().__init__(Files(str(folder), "images"), names, np.ones((len(names), 1), np.uint8), ["a"])
        self.log = log

    def image(self, row: int) -> Image.Image:
        with self.log.open("a") as stream:
            stream.write(".")
        return super().image(row)

    def opened(self) -> int:
        count = len(self.log.read_text())
        self.log.unlink()
        return count


@pytest.mark.parametrize("count", [10, 101, CHUNK, 1001])
def test_skip_leaves_bad_images_out_of_everything(
    tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = (0, 5, count - 1)
    dataset = Made(count, broken=broken)
    data = prepared(dataset, tmp_path, on_bad_image="skip")
    kept = [row for row in range(count) if row not in broken]
    assert np.array_equal(data.images, dataset.pixels[kept])
    assert np.array_equal(data.labels, dataset.labels[kept])
    assert (tmp_path / "ids.txt").read_text().splitlines() == [dataset.ids[row] for row in kept]
    assert data.manifest["images"] == count - 3
    assert data.manifest["skipped"] == 3
    skipped = [f"{dataset.ids[row]}\tbroken on purpose" for row in broken]
    assert (tmp_path / "skipped.txt").read_text().splitlines() == skipped
    assert f"3 of {count:,} images were left out" in "".join(capsys.readouterr())
    whole = io.BytesIO()
    np.save(whole, dataset.pixels[kept])
    assert (tmp_path / "images.npy").read_bytes() == whole.getvalue()


def test_skip_without_a_bad_image_is_the_same_as_error(tmp_path: Path, expected: dict[str, bytes]) -> None:
    prepared(Made(MANY), tmp_path, on_bad_image="skip", processes=1)
    assert contents(tmp_path) == expected


def test_skip_goes_on_where_error_stopped(tmp_path: Path) -> None:
    dataset = Made(3 * CHUNK, log=tmp_path / "log", broken=(300,))
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(UserError):
        write(dataset, folder)
    dataset.decoded()
    write(dataset, folder, on_bad_image="skip")
    assert dataset.decoded() == list(range(CHUNK, 2 * CHUNK))
    assert len(arrays.load(folder).images) == 3 * CHUNK - 1


@pytest.mark.parametrize("count", [3, 600])
def test_a_dataset_without_one_good_image_is_an_error_even_with_skip(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError) as error:
        write(Made(count, broken=tuple(range(count))), tmp_path, on_bad_image="skip")
    one_line(error, f"none of the {count} images could be read", "folder/0.png: broken on purpose")


# Broken files, by kind. All are called x.jpg but for those whose name matters.


def encoded(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def half(kind: str, **options: Any) -> bytes:
    content = encoded(kind, **options)
    return content[: len(content) // 2]


def changed(content: bytes, place: int, byte: int) -> bytes:
    return content[:place] + bytes([byte]) + content[place + 1 :]


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jpg", encoded("JPEG"))
    return stream.getvalue()


def icon_of_a_huge_image() -> bytes:
    huge = HUGE["png"]
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(huge), 22) + huge


PNG = encoded("PNG")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF = encoded("TIFF")

BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not an image"),
    "text": (b"hello", "not an image"),
    "one byte": (b"\xff", "not an image"),
    "zeros": (bytes(5000), "not an image"),
    "cut JPEG": (half("JPEG"), "truncated"),
    "cut progressive JPEG": (half("JPEG", progressive=True), "truncated"),
    "JPEG header alone": (encoded("JPEG")[:200], ""),
    "cut PNG": (half("PNG"), ""),
    "cut GIF": (half("GIF"), "truncated"),
    "cut WebP": (half("WEBP"), ""),
    "cut BMP": (half("BMP"), "truncated"),
    "cut TIFF": (TIFF[: len(TIFF) // 2], ""),
    "cut compressed TIFF": (half("TIFF", compression="tiff_lzw"), ""),
    "cut JPEG 2000": (half("JPEG2000", irreversible=True), ""),
    "cut PPM": (half("PPM"), "truncated"),
    "PNG header checksum": (changed(PNG, 30, PNG[30] ^ 1), "not an image"),
    "PNG data": (changed(PNG, 60, PNG[60] ^ 255), ""),
    "PNG header length": (changed(PNG, 11, 3), "Truncated IHDR chunk"),
    "PNG without data": (PNG[:33] + chunk(b"IEND", b""), ""),
    "PNG of no pixels": (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0)) + PNG[33:], ""),
    "PNG of an unknown colour type": (
        SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 5, 0, 0, 0)) + PNG[33:],
        "",
    ),
    "PNG whose text is a bomb": (
        PNG[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))) + PNG[33:],
        "",
    ),
    "GIF without frames": (b"GIF89a" + struct.pack("<HHBBB", 5, 5, 0, 0, 0) + b";", ""),
    "GIF of no pixels": (b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";", ""),
    "BMP of no pixels": (HUGE["bmp"].replace(struct.pack("<ii", 60_000, 60_000), bytes(8)), ""),
    "BMP of an unknown compression": (changed(encoded("BMP"), 30, 77), "Unsupported BMP compression (77)"),
    "TIFF with a directory outside": (TIFF[:4] + struct.pack("<I", 10**9) + TIFF[8:], ""),
    "TIFF of 999 samples": (
        TIFF.replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHI", 277, 3, 999)),
        "",
    ),
    "huge PNG": (HUGE["png"], "60,000 x 60,000 pixels"),
    "huge BMP": (HUGE["bmp"], "60,000 x 60,000 pixels"),
    "huge GIF": (HUGE["gif"], "60,000 x 60,000 pixels"),
    "huge PNG in an icon": (icon_of_a_huge_image(), "not an image"),
    "zip": (zipped(), "not an image"),
    "PDF": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "not an image"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not an image"),
    "HTML": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not an image"),
    "random bytes with JPEG's first": (b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(4000), ""),
    "EPS": (encoded("EPS"), "not an image"),
    "PSD": (b"8BPS" + bytes(60), ""),
    "MPO without a second image": (encoded("JPEG", exif=b"Exif\0\0" + bytes(30))[:300], ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_in_one_line(
    tmp_path: Path, kind: str, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    content, message = BROKEN[kind]
    files = tmp_path / "files"
    files.mkdir()
    (files / "x.jpg").write_bytes(content)
    with pytest.raises(UserError) as error:
        prepared(folder_of(files), tmp_path / "data")
    one_line(error, "1 of 1 images can't be read: x.jpg: ", message)
    assert "0x" not in str(error.value), "an address is another one each time"
    assert capfd.readouterr() == ("", "")
    assert not [warning for warning in recwarn.list if not issubclass(warning.category, ResourceWarning)]


def a_directory(file: Path) -> None:
    file.mkdir()


def a_dangling_link(file: Path) -> None:
    file.symlink_to(file.parent / "nowhere")


def a_link_to_itself(file: Path) -> None:
    file.symlink_to(file)


def not_permitted(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    file.write_bytes(encoded("JPEG"))
    file.chmod(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (a_directory, "Is a directory"),
        (a_dangling_link, "No such file or directory"),
        (a_link_to_itself, "Too many levels of symbolic links"),
        (not_permitted, "Permission denied"),
    ],
)
def test_what_is_no_file_is_named_in_one_line(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    make(files / "x.jpg")
    with pytest.raises(UserError) as error:
        prepared(folder_of(files), tmp_path / "data")
    one_line(error, f"1 of 1 images can't be read: x.jpg: {message}.")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_file_in_an_archive_is_named_in_one_line(tmp_path: Path, compression: int) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", compression) as file:
        file.writestr("x.png", encoded("BMP"))
    content = bytearray(archive.read_bytes())
    content[200:300] = bytes(100)
    archive.write_bytes(content)
    dataset = ImageFiles(Files(str(archive), "images"), ["x.png"], np.ones((1, 1), np.uint8), ["a"])
    with pytest.raises(UserError) as error:
        prepared(dataset, tmp_path / "data")
    one_line(error, "x.png: ")


def test_all_kinds_of_broken_files_together_are_skipped_without_a_word_but_one(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number, (content, _) in enumerate(BROKEN.values()):
        (files / f"{number:02}.jpg").write_bytes(content)
    (files / "good.jpg").write_bytes(encoded("JPEG"))
    script = """
        from pathlib import Path
        from tests.preparation.helpers import folder_of, prepared
        prepared(folder_of(Path("files")), Path("data"), on_bad_image="skip")
    """
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    said = run.stderr.splitlines()
    assert len(said) == 1
    assert run.stdout.splitlines()[-1] == f"left out: images that can't be read, see skipped.txt ({len(BROKEN)})"
    assert f"{len(BROKEN)} of {len(BROKEN) + 1} images were left out" in said[0]
    assert len((tmp_path / "data" / "skipped.txt").read_text().splitlines()) == len(BROKEN)
    shutil.rmtree(files)
