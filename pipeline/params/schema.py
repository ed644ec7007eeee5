"""What params.yaml may say, section by section.

No field has a default: every value stands in params.yaml, where DVC sees it change.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

import pipeline
from pipeline.params.signatures import hyperparameters
from pipeline.params.strict import Strict
from pipeline.runtime.ranges import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt
from pipeline.runtime.registry import file_names

ROOMS = Path(pipeline.__file__).parent


def room(name: str) -> list[str]:
    """Names registered in one of the library's folders, such as ``methods``."""
    return file_names(ROOMS / name)


def _distinct(values: list[Any]) -> list[Any]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"each value once (twice or more: {', '.join(map(str, twice))})")
    return values


def _not_empty(values: Any) -> Any:
    if not values:
        raise ValueError("at least one value")
    return values


def _some_method(methods: dict[str, list[str]]) -> dict[str, list[str]]:
    if not any(methods.values()):
        raise ValueError("a quantizer for at least one method (the grid is empty)")
    return methods


def _one_of(name: str) -> Any:
    return Literal[tuple(room(name))]


StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Distinct = AfterValidator(_distinct)
NotEmpty = AfterValidator(_not_empty)
Bits = Annotated[int, Field(ge=1, le=1024)]
Cutoff = PositiveInt | None


class Dataset(Strict):
    name: _one_of("datasets")
    path: str | None
    image_size: Annotated[int, Field(ge=4, le=1024)]
    on_bad_image: Literal["error", "skip"]


class PerClass(Strict):
    query: PositiveInt
    validation: PositiveInt
    train: PositiveInt


class Split(Strict):
    protocol: _one_of("protocols")
    per_class: PerClass


class Grid(Strict):
    methods: Annotated[
        create_model(  # type: ignore[call-overload]
            "GridMethods",
            __base__=Strict,
            **{method: (Annotated[list[_one_of("quantizers")], Distinct], ...) for method in room("methods")},
        ),
        AfterValidator(lambda methods: _some_method(dict(methods)) and methods),
    ]
    bits: Annotated[list[Bits], NotEmpty, Distinct]
    seeds: Annotated[list[NonNegativeInt], NotEmpty, Distinct]


class Compute(Strict):
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=1, le=1024)]


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
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Optimizer
    augmentation: Augmentation
    selection: Literal["validation", "last", "test"]
    validate_every: PositiveInt


class Evaluation(Strict):
    ties: Literal["expected", "stable", "optimistic", "pessimistic"]
    top_k: Cutoff
    precision_at: Annotated[list[PositiveInt], NotEmpty, Distinct]


class Informativeness(Strict):
    of: Annotated[list[Literal["query", "database"]], Distinct]
    images: Annotated[int, Field(ge=50)]
    image_size: PositiveInt
    hidden: PositiveInt
    steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    restarts: PositiveInt


class Statistics(Strict):
    paired: bool
    significance: Annotated[Fraction, Field(gt=0, lt=1)]


def _sections(name: str) -> Callable[[], type[Strict]]:
    """A model with one optional section for each file of a room; the cross-check asks for those in use."""
    return create_model(  # type: ignore[call-overload, no-any-return]
        name.capitalize(),
        __base__=Strict,
        **{entry: (hyperparameters(ROOMS / name / f"{entry}.py") | None, None) for entry in room(name)},
    )


class Params(Strict):
    study: StudyName
    dataset: Dataset
    split: Split
    grid: Grid
    compute: Compute
    backbone: Backbone
    training: Training
    methods: _sections("methods")  # type: ignore[valid-type]
    quantizers: _sections("quantizers")  # type: ignore[valid-type]
    evaluation: Evaluation
    informativeness: Informativeness
    statistics: Statistics
