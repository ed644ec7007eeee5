"""Caption sentences shared by several tables: the protocol and the tuning behind the numbers."""

from typing import Any

from pipeline.report.source import Source

SELECTION = {
    "validation": "The evaluated epoch of each cell is the one with the best validation mAP.",
    "last": "The evaluated epoch of each cell is the last one; nothing was selected.",
    "test": "The evaluated epoch of each cell was chosen on the test images: the numbers are optimistic.",
}
TIES = {
    "expected": "Ties in Hamming distance: mAP is the exact expectation over all orders of tied images.",
    "stable": "Ties in Hamming distance: tied images stay in the order of the database.",
    "optimistic": "Ties in Hamming distance: of tied images, the relevant ones come first (optimistic).",
    "pessimistic": "Ties in Hamming distance: of tied images, the relevant ones come last (pessimistic).",
}


def protocol_caption(source: Source) -> list[str]:
    """How means of mAP and precision were obtained: dataset, backbone, seeds, evaluated epoch, ties and tuning."""
    ties = source.about["ties"]
    return [*run_caption(source), *epoch_caption(source), TIES[ties], *tuning_caption(source)]


def run_caption(source: Source) -> list[str]:
    """Dataset, split and backbone, and whether the split is fixed."""
    about = source.about
    counts = ", ".join(f"{part} {number}" for part, number in about["split"].items())
    dataset = f"Dataset {about['dataset']} ({about['images']} images, {about['classes']} classes)"
    return [f"{dataset}; protocol {about['protocol']} ({counts} images); {_backbone(about)}.", *split_caption(source)]


def _backbone(about: dict[str, Any]) -> str:
    section = about["backbone"]
    further = [f"{key} {value}" for key, value in section.items() if key not in ("name", "input_size", "frozen")]
    if section["frozen"]:
        units = " and ".join(map(str, about["head"]["hidden"]))
        further.append(
            f"frozen: only heads are trained ({f'hidden layers of {units}' if units else 'one linear layer'})"
        )
    return ", ".join([f"backbone {section['name']}", *further])


def split_caption(source: Source) -> list[str]:
    """What fixes the split, if it is the same for every seed: then tests over seeds are tests over trainings alone."""
    fixed_by = source.about.get("split_fixed_by")
    return [] if fixed_by is None else [f"The split is fixed by {fixed_by}; seeds differ only in training."]


def epoch_caption(source: Source) -> list[str]:
    """The seeds in a mean, and how the evaluated epoch of each cell was chosen."""
    selection = source.about["selection"]
    return [
        f"Mean ± standard deviation over n of {many(source.seeds, 'seed')}.",
        SELECTION[selection],
    ]


def tuning_caption(source: Source) -> list[str]:
    """What was tuned, on which images, and with which budget."""
    tune = source.tune
    if tune is None:
        return ["Not tuned: the weights are those of params.yaml."]
    seeds = [str(seed) for seed in tune["seeds"]]
    shared = [seed for seed in seeds if seed in source.seeds]
    whose = f"; also among the study's: {', '.join(shared)}" if shared else ", none of them the study's"
    tried = "; ".join(f"{name}: {', '.join(values) or 'nothing'}" for name, values in tune["candidates"].items())
    plural = "s" * (tune["settings"] != 1)
    return [
        "Tuned on validation images, which include no query image of the study: "
        f"{tune['settings']} setting{plural} for every quantizer"
        + (f" ({tried})" if tried else "")
        + f", over {many(seeds, 'seed')}{whose}.",
        *_unequal_rates(tune["candidates"]),
    ]


def _unequal_rates(candidates: dict[str, dict[str, list[Any]]]) -> list[str]:
    """A warning if tuning tried other learning rates for some quantizers; each then has the advantage of its own."""
    rates = {tuple(sorted(values.get("learning_rate", ()))) for values in candidates.values()}
    if len(rates) < 2:
        return []
    return ["The quantizers were tried with different learning rates, so a difference isn't the quantizer's alone."]


def many(names: list[str], of: str) -> str:
    return f"{len(names)} {of}{'s' * (len(names) != 1)} ({', '.join(names)})"
