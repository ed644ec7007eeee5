"""The schema of params.yaml, section by section.

No field has a default: every value must be in params.yaml, where DVC detects a change.
"""

import json
from collections.abc import Callable
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

import pipeline
from pipeline.params.signatures import arguments, hyperparameters
from pipeline.params.strict import Strict
from pipeline.runtime.ranges import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt, Seed
from pipeline.runtime.registry import file_names

PACKAGES = Path(pipeline.__file__).parent


def entries(name: str) -> list[str]:
    """Names registered in one of the library's packages, such as ``methods``."""
    return file_names(PACKAGES / name)


def _distinct(values: list[Any]) -> list[Any]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"each value once (twice or more: {', '.join(map(str, twice))})")
    return values


def _not_empty(values: Any) -> Any:
    if not values:
        raise ValueError("at least one value")
    return values


def _one_of(name: str) -> Any:
    return Literal[tuple(entries(name))]


StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Distinct = AfterValidator(_distinct)
NotEmpty = AfterValidator(_not_empty)
Bits = Annotated[int, Field(ge=1, le=1024)]
BatchSize = Annotated[int, Field(ge=2)]
Cutoff = PositiveInt | None
Methods = Annotated[list[_one_of("methods")], Distinct]
Quantizers = Annotated[list[_one_of("quantizers")], Distinct]


class Dataset(Strict):
    """Keys that every dataset has; ``model`` adds the dataset's own settings."""

    name: _one_of("datasets")
    image_size: Annotated[int, Field(ge=4, le=1024)]
    on_bad_image: Literal["error", "skip"]


class Split(Strict):
    """The key that every protocol has; ``model`` adds the protocol's own numbers."""

    protocol: _one_of("protocols")

    @model_validator(mode="after")
    def _alternatives(self) -> "Split":
        names = [name for name, field in type(self).model_fields.items() if not field.is_required()]
        given = [name for name in names if getattr(self, name) is not None]
        if names and len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise PydanticCustomError("alternatives", f"exactly one of {', '.join(names)}; found {found}")  # type: ignore[arg-type]
        return self


class AnyDataset(Dataset):
    """A dataset with an unknown name; its settings can't be checked."""

    model_config = ConfigDict(extra="ignore")


class AnySplit(Split):
    """A protocol with an unknown name; its numbers can't be checked."""

    model_config = ConfigDict(extra="ignore")


class Choices(NamedTuple):
    """The dataset and the protocol that a file names; None if the name is missing or unknown.

    Their own arguments are keys of the sections ``dataset`` and ``split``.
    """

    dataset: str | None
    protocol: str | None

    @property
    def sections(self) -> dict[str, tuple[str, str, str | None]]:
        """For each of the two sections: the kind of entry, the package that holds the entries, and the chosen one."""
        return {"dataset": ("dataset", "datasets", self.dataset), "split": ("protocol", "protocols", self.protocol)}


class Grid(Strict):
    methods: Annotated[Methods, NotEmpty]
    quantizers: Annotated[Quantizers, NotEmpty]
    bits: Annotated[list[Bits], NotEmpty, Distinct]
    seeds: Annotated[list[Seed], NotEmpty, Distinct]


class Compute(Strict):
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "float32", "bfloat16"]
    threads: Annotated[int, Field(ge=1, le=1024)]


class Sweep(Strict):
    workers: Annotated[int, Field(ge=1, le=4096)] | None
    gpu_share: Annotated[float, Field(gt=0, le=1)] | None


class Backbone(Strict):
    name: _one_of("backbones")
    weights: Annotated[str, Field(min_length=1)]
    input_size: Annotated[int, Field(ge=4, le=1024)]


class Optimizer(Strict):
    name: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    backbone_scale: NonNegative
    weight_decay: NonNegative
    schedule: Literal["constant", "cosine"]


class Augmentation(Strict):
    crop_padding: NonNegativeInt
    flip: bool


class Training(Strict):
    epochs: PositiveInt
    batch_size: BatchSize
    optimizer: Optimizer
    augmentation: Augmentation
    selection: Literal["validation", "last", "test"]
    validate_every: PositiveInt


class Evaluation(Strict):
    ties: Literal["expected", "stable", "optimistic", "pessimistic"]
    top_k: Cutoff
    precision_at: Annotated[list[PositiveInt], NotEmpty, Distinct]


class Informativeness(Strict):
    parts: Annotated[list[Literal["query", "database"]], Distinct]
    images: Annotated[int, Field(ge=50)]
    image_size: PositiveInt
    hidden: PositiveInt
    steps: PositiveInt
    batch_size: BatchSize
    learning_rate: Positive
    restarts: PositiveInt


class Tune(Strict):
    seeds: Annotated[list[Seed], NotEmpty, Distinct]


class Timing(Strict):
    methods: Methods
    quantizers: Annotated[Quantizers, NotEmpty]
    bits: Bits
    batch_sizes: Annotated[list[BatchSize], Distinct]
    epochs: PositiveInt


class BatchSizes(Strict):
    methods: Methods
    quantizers: Quantizers
    bits: Annotated[list[Bits], Distinct]
    values: Annotated[list[BatchSize], Distinct]
    seeds: Annotated[list[Seed], Distinct]


class Visualize(Strict):
    methods: Methods
    quantizers: Quantizers
    bits: Annotated[list[Bits], Distinct]
    seeds: Annotated[list[Seed], Distinct]
    images: PositiveInt
    perplexity: Positive
    queries: PositiveInt
    neighbours: PositiveInt


class Published(Strict):
    tables: Annotated[
        list[Literal["wr-table1", "wr-table2", "wr-table3", "hswd-table4", "hswd-table5", "hswd-table6"]], Distinct
    ]
    dataset: Literal["cifar10", "nuswide21", "nuswide", "coco"] | None


class Statistics(Strict):
    paired: bool
    significance: Annotated[Fraction, Field(gt=0, lt=1)]


def own(name: str, entry: str) -> dict[str, Any]:
    """Arguments that are specific to one entry of a package.

    Args:
        name: the package, such as ``protocols``.
        entry: the entry, such as ``counts``.

    Returns:
        pydantic field definitions by argument name, see ``signatures.arguments``.
    """
    return arguments(PACKAGES / name / f"{entry}.py")


def _candidates(quantizer: str) -> type[Strict]:
    """Lists of values to try in tuning: for the learning rate and for the quantizer's own hyperparameters."""
    kinds = {"learning_rate": Positive} | {name: kind for name, (kind, _) in own("quantizers", quantizer).items()}
    lists: dict[str, Any] = {name: (Annotated[list[kind], NotEmpty, Distinct], None) for name, kind in kinds.items()}
    return create_model(quantizer, __base__=Strict, **lists)


def _sections(name: str) -> Callable[[], type[Strict]]:
    """A model with one optional section per file of a package. ``check`` requires the sections that are used."""
    return create_model(  # type: ignore[call-overload, no-any-return]
        name.capitalize(),
        __base__=Strict,
        **{entry: (hyperparameters(PACKAGES / name / f"{entry}.py") | None, None) for entry in entries(name)},
    )


class Watch(Strict):
    dataset: Annotated[list[Literal["always"]], Distinct]
    weights: Annotated[list[Literal["always"]], Distinct]


class Params(Strict):
    study: StudyName
    dataset: AnyDataset
    watch: Watch
    split: AnySplit
    grid: Grid
    compute: Compute
    sweep: Sweep
    backbone: Backbone
    training: Training
    methods: _sections("methods")  # type: ignore[valid-type]
    quantizers: _sections("quantizers")  # type: ignore[valid-type]
    tune: Tune | None
    candidates: create_model(  # type: ignore[valid-type]
        "Candidates", __base__=Strict, **{name: (_candidates(name) | None, None) for name in entries("quantizers")}
    )
    evaluation: Evaluation
    informativeness: Informativeness
    timing: Timing
    batch_size: BatchSizes
    visualize: Visualize
    statistics: Statistics
    published: Published


@cache
def model(choices: Choices) -> type[Params]:
    """The model of a params file with this dataset and protocol.

    The sections ``dataset`` and ``split`` accept the arguments of the chosen entries and no others.
    """
    fields: dict[str, Any] = {}
    for section, base in (("dataset", Dataset), ("split", Split)):
        _, place, entry = choices.sections[section]
        if entry is not None:
            fields[section] = (create_model(base.__name__, __base__=base, **own(place, entry)), ...)
    return create_model("Params", __base__=Params, **fields)


def json_schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, for completion and checks in an editor."""
    variants: dict[str, Any] = {}
    for section, base, key, package in (
        ("dataset", Dataset, "name", "datasets"),
        ("split", Split, "protocol", "protocols"),
    ):
        models = [
            create_model(f"{base.__name__} {name}", __base__=base, **{key: (Literal[name], ...)}, **own(package, name))
            for name in entries(package)
        ]
        variants[section] = (Annotated[reduce(or_, models), Field(discriminator=key)], ...)
    found: dict[str, Any] = create_model("Params", __base__=Params, **variants).model_json_schema()
    return found


def write_json_schema(path: Path = Path("studies/params.schema.json")) -> str:
    """Write the JSON schema to ``path`` and return a message that names the file."""
    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    return f"{path}: written"
