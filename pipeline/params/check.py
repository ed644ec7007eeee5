"""Read params.yaml and check all of it; each mistake is reported in one line."""

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.params.schema import (
    CHOSEN,
    ON_FEATURES,
    TRAINING_FREE,
    TWO_VIEWS,
    VECTORS,
    Choices,
    Params,
    adapter,
    entries,
    params,
)
from pipeline.params.sections import is_section, keys, required
from pipeline.runtime.errors import UserError
from pipeline.runtime.registry import nearest
from pipeline.runtime.yaml12 import NotYaml, parse


def read(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Returns:
        the file's content, unchanged.

    Raises:
        UserError: the file is missing, isn't YAML or violates the schema; one line per mistake.
    """
    try:
        content: Params = parse(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run in the project's root, or write it with `make study NAME=digits`"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}: {error.reason}); save it as UTF-8") from None
    except NotYaml as error:
        raise UserError(f"{path}:{error}") from None
    problems = check(content)
    if problems:
        raise UserError("\n".join(f"{path}: {problem}" for problem in problems))
    return content


def check(content: Any) -> list[str]:
    """Check the content of a params file.

    Returns:
        one line per mistake; empty if the content is valid.
    """
    if not isinstance(content, dict):
        return ["expected sections such as 'dataset:' and 'grid:', found none"]
    if odd := list(_odd_keys(content)):
        return odd
    problems = []
    choices = Choices(**{chosen.kind: _chosen(content, section) for section, chosen in CHOSEN.items()})
    try:
        adapter(choices).validate_python(content)
    except ValidationError as error:
        problems = [_line(dict(details), choices) for details in error.errors()]
    across = _across_sections(content)
    if not any(problem.startswith("grid") for problem in problems):
        across += _not_in_the_grid(content)
    return list(dict.fromkeys(problems + across))


def _odd_keys(content: Any, place: str = "") -> Iterator[str]:
    """Errors for keys that aren't strings, since a dotted name can't refer to them."""
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(key, str):
                yield from _odd_keys(value, f"{place}{key}.")
            else:
                yield f"{place}{_short(key)}: expected a word as the key"
    elif isinstance(content, list):
        for value in content:
            yield from _odd_keys(value, place)


def _chosen(content: dict[str, Any], section: str) -> str | None:
    """The registered name that a section of ``CHOSEN`` gives; None if it is missing or unknown."""
    found, chosen = content.get(section), CHOSEN[section]
    name = found.get(chosen.key) if isinstance(found, dict) else None
    return name if isinstance(name, str) and name in entries(chosen.package) else None


def _across_sections(content: dict[str, Any]) -> list[str]:
    """Errors that involve several sections. Malformed sections are skipped, since the schema reports them."""
    problems = _missing_sections(content) + _training_free(content) + _unequal_tries(content) + _at_odds(content)
    problems += _unwatched(content)
    training = content.get("training")
    if isinstance(training, dict):
        epochs, every = training.get("epochs"), training.get("validate_every")
        if type(epochs) is int and type(every) is int and every > epochs > 0:  # type() excludes bool
            problems.append(f"training.validate_every: expected at most training.epochs ({epochs}), found {every}")
    return problems


def _part(content: dict[str, Any], *path: str, kind: type) -> Any:
    """The value at a path of keys; an empty ``kind`` if it is missing or has another type."""
    here: Any = content
    for key in path:
        here = here.get(key) if isinstance(here, dict) else None
    return here if isinstance(here, kind) else kind()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _missing_sections(content: dict[str, Any]) -> list[str]:
    """Errors for methods and quantizers that are used but have no section with their hyperparameters."""
    problems = []
    for kind in ("methods", "quantizers"):
        for user in ("grid", "timing", "batch_size"):
            if not _part(content, user, "methods", kind=list):
                continue
            for name in _part(content, user, kind, kind=list):
                tuned = kind == "quantizers" and user == "grid"
                for section in (kind, *(["candidates"] * tuned)):
                    given = content.get(section)
                    if isinstance(given, dict) and name in entries(kind) and given.get(name) is None:
                        who = "the grid" if user == "grid" else user
                        problems.append(f"{section}.{name}: missing, but {who} uses it; expected its section")
    return problems


def _training_free(content: dict[str, Any]) -> list[str]:
    """Errors for methods without training: among those that are trained, or without what their cells need."""
    problems = [
        f"{user}.methods: {name} has no training, so no quantizer can be added to it; expected it in grid.training_free"
        for user in ("grid", "timing", "batch_size")
        for name in _part(content, user, "methods", kind=list)
        if name in TRAINING_FREE
    ]
    free = [name for name in _part(content, "grid", "training_free", kind=list) if name in TRAINING_FREE]
    needed = [("methods", name) for name in free] + [("quantizers", "original")] * bool(free)
    for section, name in needed:
        given = content.get(section)
        if isinstance(given, dict) and given.get(name) is None:
            problems.append(f"{section}.{name}: missing, but grid.training_free needs it; expected its section")
    return problems


def _unequal_tries(content: dict[str, Any]) -> list[str]:
    """Errors for tuning that tries more settings for one quantizer, or uses seeds of the final results."""
    seeds = _part(content, "tune", "seeds", kind=list)
    if not seeds:
        return []
    problems = []
    if both := [seed for seed in _part(content, "grid", "seeds", kind=list) if seed in seeds]:
        problems.append(f"tune.seeds: expected none of grid.seeds, found {', '.join(map(str, both))}")
    counts = {}
    for quantizer in filter(_is_text, _part(content, "grid", "quantizers", kind=list)):
        lists = _part(content, "candidates", quantizer, kind=dict).values()
        counts[quantizer] = prod(len(values) for values in lists if isinstance(values, list)) if lists else 0
    if len(set(counts.values())) > 1 or 0 in counts.values():
        found = ", ".join(f"{quantizer} {count}" for quantizer, count in counts.items())
        problems.append(f"candidates: expected as many settings for each quantizer of the grid, found {found}")
    return problems


def _not_in_the_grid(content: dict[str, Any]) -> list[str]:
    """Errors for cells in ``visualize`` and code lengths in ``informativeness`` that aren't in the grid."""
    problems = []
    for section, off, names in (
        ("visualize", "seeds", ("methods", "quantizers", "bits", "seeds")),
        ("informativeness", "parts", ("bits",)),
    ):
        if not all(_part(content, section, key, kind=list) for key in {off, *names}):
            continue
        for key in names:
            known = _part(content, "grid", key, kind=list)
            absent = [value for value in _part(content, section, key, kind=list) if value not in known]
            if absent:
                problems.append(
                    f"{section}.{key}: expected some of grid.{key}, found {', '.join(map(str, absent))}; "
                    f"leave them out there, or set {section}.{off}: []"
                )
    return problems


def _unwatched(content: dict[str, Any]) -> list[str]:
    """Errors for ``watch`` entries that don't match the paths: a given file must be watched, and nothing else."""
    problems = []
    for name, *place in (
        ("dataset", "dataset", "path"),
        ("weights", "backbone", "weights"),
        ("lists", "split", "folder"),
    ):
        key, found = ".".join(place), _part(content, *place, kind=str)
        given = found and found not in NO_FILES
        watched = content.get("watch", {}).get(name) if isinstance(content.get("watch"), dict) else None
        if isinstance(watched, list) and bool(watched) != bool(given):
            wanted = "[always], so that changed files are noticed" if given else "[]"
            state = f"is {found}" if given else "names no file"
            problems.append(f"watch.{name}: expected {wanted}, since {key} {state}; found {watched}")
    return problems


#: Values of ``backbone.weights`` that aren't paths.
NO_FILES = ("none", "imagenet", "pretrained")
#: Datasets that a published table covers.
PUBLISHED = {
    "wr": ("cifar10", "nuswide21"),
    "hswd-table4": ("cifar10", "nuswide", "coco"),
    "hswd": ("cifar10", "nuswide"),
}


def _at_odds(content: dict[str, Any]) -> list[str]:
    """Errors that would otherwise appear only in a late stage."""
    problems, shown, timed = [], _part(content, "visualize", kind=dict), _part(content, "timing", kind=dict)
    images, perplexity = shown.get("images"), shown.get("perplexity")
    if isinstance(images, int) and isinstance(perplexity, int | float) and images <= perplexity:
        problems.append(f"visualize.perplexity: expected less than visualize.images ({images}), found {perplexity}")
    if timed.get("methods") and isinstance(timed.get("quantizers"), list) and "original" not in timed["quantizers"]:
        problems.append("timing.quantizers: expected original among them, because overhead is relative to it")
    problems += _at_odds_with_frozen(content) + _at_odds_with_vectors(content) + _at_odds_with_methods(content)
    dataset = _part(content, "published", kind=dict).get("dataset")
    for table in _part(content, "published", "tables", kind=list):
        known = PUBLISHED.get(str(table)) or PUBLISHED.get(str(table).partition("-")[0], ())
        if known and dataset not in known:
            problems.append(f"published.dataset: expected one of {', '.join(known)} for {table}; found {dataset!r}")
    return problems


def _at_odds_with_frozen(content: dict[str, Any]) -> list[str]:
    """Errors in what ``backbone.frozen`` decides: the views, the augmentation and the head's normalization."""
    frozen, problems = _part(content, "backbone", kind=dict).get("frozen"), []
    views, changes = (
        _part(content, "features", "views", kind=list),
        _part(content, "training", "augmentation", kind=dict),
    )
    if frozen is False and views:
        problems.append(f"features.views: expected [], since backbone.frozen is false; found {views}")
    if frozen is False and _part(content, "head", "normalize", kind=str) == "standardize":
        problems.append("head.normalize: expected l2 or none, since backbone.frozen is false; found 'standardize'")
    vectors = _part(content, "dataset", kind=dict).get("name") in VECTORS
    if frozen is True and vectors and views:
        problems.append(f"features.views: expected [], since the dataset's vectors are the features; found {views}")
    if frozen is True and not vectors and views[:1] != ["plain"]:
        problems.append(
            f"features.views: expected [plain] or [plain, mirrored], since backbone.frozen is true; found {views}"
        )
    if frozen is True and changes.get("crop_padding"):
        problems.append(
            "training.augmentation.crop_padding: expected 0, since the features of a frozen backbone can't be cropped; "
            f"found {changes['crop_padding']}"
        )
    if frozen is True and changes.get("flip"):
        problems.append(
            "training.augmentation.flip: expected false, since backbone.frozen is true; found True; features.views: "
            "[plain, mirrored] does the same"
        )
    return problems


def _at_odds_with_vectors(content: dict[str, Any]) -> list[str]:
    """Errors in what a dataset of vectors needs, and in what needs images."""
    name, backbone = _part(content, "dataset", kind=dict).get("name"), _part(content, "backbone", kind=dict)
    if name not in VECTORS:
        odd = backbone.get("name") == "identity"
        return [f"backbone.name: identity is for dataset.name: {VECTORS[0]}; found dataset.name: {name}"] if odd else []
    problems = []
    if backbone.get("name") not in (None, "identity") or backbone.get("frozen") is False:
        problems.append(f"backbone: expected name: identity and frozen: true, since dataset.name is {name}")
    for section, key, what in (("visualize", "seeds", "galleries"), ("informativeness", "parts", "pixels")):
        if found := _part(content, section, key, kind=list):
            wanted = f"[], since dataset.name {name} has no images for {what}"
            problems.append(f"{section}.{key}: expected {wanted}; found {found}")
    return problems


def _at_odds_with_methods(content: dict[str, Any]) -> list[str]:
    """Methods that need features, or two views of an image that differ, where there are none."""
    frozen, head = _part(content, "backbone", kind=dict).get("frozen"), _part(content, "head", kind=dict)
    changes = _part(content, "training", "augmentation", kind=dict)
    dropout = head.get("dropout") and head.get("hidden")
    alike = not (dropout or any(changes.values()) or len(_part(content, "features", "views", kind=list)) > 1)
    problems = []
    for user in ("grid", "timing", "batch_size"):
        for name in _part(content, user, "methods", kind=list):
            if name in ON_FEATURES and frozen is False:
                problems.append(
                    f"{user}.methods: {name} compares codes with the features of a frozen backbone; "
                    "expected backbone.frozen: true"
                )
            if name in TWO_VIEWS and alike:
                problems.append(
                    f"{user}.methods: {name} compares two views of each image, which are the same here; expected "
                    "training.augmentation, or with a frozen backbone features.views: [plain, mirrored] or head.dropout"
                )
    return problems


def _line(error: dict[str, Any], choices: Choices) -> str:
    """Rephrase one pydantic error: key, what was expected, what was found, what to do."""
    key = ".".join(str(part) for part in error["loc"])
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        *parents, last = error["loc"]
        known = _fields(tuple(parents), choices)
        if len(parents) == 1 and parents[0] in CHOSEN:
            chosen = CHOSEN[parents[0]]
            if others := [name for name in entries(chosen.package) if last in chosen.own(name)]:
                entry = getattr(choices, chosen.kind)
                takes = ", ".join(chosen.own(entry)) or "no keys of its own"
                return f"{key}: {chosen.kind} {entry!r} takes {takes}; {last} is for {' or '.join(map(repr, others))}"
        hint = nearest(str(last), known) or f"; known here: {', '.join(known)}"
        return f"{key}: unknown key{hint}"
    if kind == "missing":
        return f"{key}: missing; expected {_expected(error['loc'], choices)}"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(found, words) if isinstance(found, str) else ""
        return f"{key}: expected one of {', '.join(words)}; found {found!r}{hint}"
    if kind == "dict_type":
        return f"{key}: expected {_expected(error['loc'], choices)}; found {_short(found)}"
    if kind == "alternatives":
        return f"{key}: expected {error['msg']}"
    if kind == "value_error":
        return f"{key}: expected {context['error']}; found {_short(found)}"
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{key}: expected {expected}; found {_short(found)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(location: tuple[Any, ...], choices: Choices) -> Any:
    """The schema's type at a location: a section, the type of a value, or None if unknown."""
    here: Any = params(choices)
    for part in location:
        known = keys(here)
        if part not in known:
            return None
        here = required(known[part])
        here = next((kind for kind in (here, *getattr(here, "__args__", ())) if is_section(kind)), here)
    return here


def _fields(location: tuple[Any, ...], choices: Choices) -> list[str]:
    return list(keys(_kind(location, choices)))


def _expected(location: tuple[Any, ...], choices: Choices) -> str:
    here = _kind(location, choices)
    if is_section(here):
        return f"a section with {', '.join(keys(here)) or 'no keys ({})'}"
    words = getattr(here, "__args__", None)
    if words and all(isinstance(word, str) for word in words):
        return f"one of {', '.join(words)}"
    return "a value"
