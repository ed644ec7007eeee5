"""The schema of params.yaml, section by section.

The sections are typed dictionaries: pydantic checks a file against them and returns its content unchanged, and the
type checker knows the keys of the dictionaries that stages pass on. No key has a default: every value must be in
params.yaml, where DVC detects a change.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NotRequired

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

import pipeline
from pipeline.params.sections import keys, made, optional, required, section
from pipeline.params.signatures import arguments, declares, hyperparameters
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


def _methods(attribute: str, value: Any = True) -> tuple[str, ...]:
    """The methods whose class sets an attribute of ``pipeline.methods.Method`` to this value."""
    return tuple(name for name in entries("methods") if declares(PACKAGES / "methods" / f"{name}.py", attribute, value))


#: Methods that compute a linear head in closed form instead of training.
TRAINING_FREE = _methods("training_free")
#: Methods that compare two views of each image, and those that compare codes with a frozen backbone's features.
TWO_VIEWS, ON_FEATURES = _methods("views", 2), _methods("supervision", "features")
#: Methods whose outputs are normalized over a batch.
BATCH_NORM = _methods("batch_norm")

if TYPE_CHECKING:  # the names are known only at run time
    DatasetName = ProtocolName = BackboneName = MethodName = QuantizerName = TrainingFreeName = str
else:
    DatasetName, ProtocolName, BackboneName, MethodName, QuantizerName = (
        Literal[tuple(entries(name))] for name in ("datasets", "protocols", "backbones", "methods", "quantizers")
    )
    TrainingFreeName = Literal[TRAINING_FREE]

#: Datasets of vectors instead of images.
VECTORS = ("embeddings",)

StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Distinct = AfterValidator(_distinct)
NotEmpty = AfterValidator(_not_empty)
Bits = Annotated[int, Field(ge=1, le=1024)]
BatchSize = Annotated[int, Field(ge=2)]
Cutoff = PositiveInt | None
Methods = Annotated[list[MethodName], Distinct]
Quantizers = Annotated[list[QuantizerName], Distinct]


@section
class Dataset(TypedDict):
    """Keys that every dataset of images has; ``adapter`` adds the dataset's own settings."""

    name: DatasetName
    path: str | None
    image_size: Annotated[int, Field(ge=4, le=1024)]
    on_bad_image: Literal["error", "skip"]


@section
class Split(TypedDict):
    """The key that every protocol has; ``adapter`` adds the protocol's own numbers."""

    protocol: ProtocolName


@section
class Grid(TypedDict):
    methods: Annotated[Methods, NotEmpty]
    quantizers: Annotated[Quantizers, NotEmpty]
    bits: Annotated[list[Bits], NotEmpty, Distinct]
    seeds: Annotated[list[Seed], NotEmpty, Distinct]
    training_free: Annotated[list[TrainingFreeName], Distinct]


@section
class Compute(TypedDict):
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "float32", "bfloat16"]
    numerics: Literal["portable", "native"]
    threads: Annotated[int, Field(ge=1, le=1024)]


@section
class Sweep(TypedDict):
    workers: Annotated[int, Field(ge=1, le=4096)] | None
    gpu_share: Annotated[float, Field(gt=0, le=1)] | None


@section
class Backbone(TypedDict):
    """Keys that every backbone has; ``adapter`` adds the backbone's own arguments."""

    name: BackboneName
    weights: Annotated[str, Field(min_length=1)]
    input_size: Annotated[int, Field(ge=4, le=1024)]
    frozen: bool


@section
class Features(TypedDict):
    views: Annotated[list[Literal["plain", "mirrored"]], Distinct]


@section
class Head(TypedDict):
    hidden: list[PositiveInt]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    normalize: Literal["standardize", "l2", "none"]


class Choices(NamedTuple):
    """The dataset, the protocol and the backbone that a file names; None if the name is missing or unknown.

    Their own arguments are keys of their sections, see ``CHOSEN``.
    """

    dataset: str | None
    protocol: str | None
    backbone: str | None


class Chosen(NamedTuple):
    """A section that names an entry of a package, and has the entry's own arguments as further keys.

    Args:
        kind: what the entry is called in messages, and the field of ``Choices`` that holds its name.
        package: the package that holds the entries.
        base: the keys that the section has for every entry.
        key: the key with the entry's name.
        common: keys of ``base`` that are arguments of the entries too. ``base`` alone gives their types.
    """

    kind: str
    package: str
    base: Any
    key: str
    common: tuple[str, ...] = ()

    def own(self, entry: str) -> dict[str, Any]:
        """The entry's own arguments: types by name, see ``signatures.arguments``."""
        return {name: kind for name, kind in own(self.package, entry).items() if name not in self.common}

    def keys(self, entry: str) -> dict[str, Any]:
        """The keys of the section for this entry; a dataset of vectors has no ``image_size``."""
        without = ("image_size",) if entry in VECTORS else ()
        return {key: kind for key, kind in (keys(self.base) | self.own(entry)).items() if key not in without}

    def made(self, entry: str | None) -> Any:
        """The type of the section for this entry; without an entry, it accepts any further keys."""
        found = keys(self.base) if entry is None else self.keys(entry)
        return made(self.base.__name__, found, closed=entry is not None)


#: The sections whose keys depend on the entry that they name.
CHOSEN = {
    "dataset": Chosen("dataset", "datasets", Dataset, "name"),
    "split": Chosen("protocol", "protocols", Split, "protocol"),
    "backbone": Chosen("backbone", "backbones", Backbone, "name", common=("weights",)),
}


@section
class Optimizer(TypedDict):
    name: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    backbone_scale: NonNegative
    weight_decay: NonNegative
    schedule: Literal["constant", "cosine"]


@section
class Augmentation(TypedDict):
    crop_padding: NonNegativeInt
    flip: bool


@section
class Training(TypedDict):
    epochs: PositiveInt
    batch_size: BatchSize
    optimizer: Optimizer
    augmentation: Augmentation
    selection: Literal["validation", "last", "test"]
    validate_every: PositiveInt


@section
class Evaluation(TypedDict):
    ties: Literal["expected", "stable", "optimistic", "pessimistic"]
    top_k: Cutoff
    precision_at: Annotated[list[PositiveInt], NotEmpty, Distinct]
    recall_at: Annotated[list[PositiveInt], Distinct]
    ndcg_at: Annotated[list[PositiveInt], Distinct]


@section
class Informativeness(TypedDict):
    parts: Annotated[list[Literal["query", "database"]], Distinct]
    bits: Annotated[list[Bits], Distinct]
    images: Annotated[int, Field(ge=50)]
    image_size: PositiveInt
    hidden: PositiveInt
    steps: PositiveInt
    batch_size: BatchSize
    learning_rate: Positive
    restarts: PositiveInt


@section
class Tune(TypedDict):
    seeds: Annotated[list[Seed], NotEmpty, Distinct]


@section
class Timing(TypedDict):
    methods: Methods
    quantizers: Annotated[Quantizers, NotEmpty]
    bits: Bits
    batch_sizes: Annotated[list[BatchSize], Distinct]
    epochs: PositiveInt


@section
class BatchSizes(TypedDict):
    methods: Methods
    quantizers: Quantizers
    bits: Annotated[list[Bits], Distinct]
    values: Annotated[list[BatchSize], Distinct]
    seeds: Annotated[list[Seed], Distinct]


@section
class Visualize(TypedDict):
    methods: Methods
    quantizers: Quantizers
    bits: Annotated[list[Bits], Distinct]
    seeds: Annotated[list[Seed], Distinct]
    images: PositiveInt
    perplexity: Positive
    queries: PositiveInt
    neighbours: PositiveInt


@section
class Published(TypedDict):
    tables: Annotated[
        list[Literal["wr-table1", "wr-table2", "wr-table3", "hswd-table4", "hswd-table5", "hswd-table6"]], Distinct
    ]
    dataset: Literal["cifar10", "nuswide21", "nuswide", "coco"] | None


@section
class Statistics(TypedDict):
    paired: bool
    significance: Annotated[Fraction, Field(gt=0, lt=1)]


def own(name: str, entry: str) -> dict[str, Any]:
    """Arguments that are specific to one entry of a package.

    Args:
        name: the package, such as ``protocols``.
        entry: the entry, such as ``counts``.

    Returns:
        types by argument name, see ``signatures.arguments``.
    """
    return arguments(PACKAGES / name / f"{entry}.py")


def _candidates(quantizer: str) -> Any:
    """Lists of values to try in tuning: for the learning rate and for the quantizer's own hyperparameters."""
    kinds = {"learning_rate": Positive} | {name: required(kind) for name, kind in own("quantizers", quantizer).items()}
    return made(quantizer, {name: NotRequired[_tried(kind)] for name, kind in kinds.items()})


def _tried(kind: Any) -> Any:
    return Annotated[list[kind], NotEmpty, Distinct]


def _sections(name: str, of: Callable[[str], Any]) -> Any:
    """A section with one optional section per file of a package. ``check`` requires the sections that are used."""
    return made(name.capitalize(), {entry: NotRequired[of(entry) | None] for entry in entries(name)})


def _hyperparameters(name: str) -> Any:
    return _sections(name, lambda entry: hyperparameters(PACKAGES / name / f"{entry}.py"))


@section
class Watch(TypedDict):
    dataset: Annotated[list[Literal["always"]], Distinct]
    weights: Annotated[list[Literal["always"]], Distinct]
    lists: Annotated[list[Literal["always"]], Distinct]


@section
class Params(TypedDict):
    study: StudyName
    dataset: Dataset
    watch: Watch
    split: Split
    grid: Grid
    compute: Compute
    sweep: Sweep
    backbone: Backbone
    features: Features
    head: Head
    training: Training
    methods: _hyperparameters("methods")
    quantizers: _hyperparameters("quantizers")
    tune: Tune | None
    candidates: _sections("quantizers", _candidates)
    evaluation: Evaluation
    informativeness: Informativeness
    timing: Timing
    batch_size: BatchSizes
    visualize: Visualize
    statistics: Statistics
    published: Published


@cache
def adapter(choices: Choices) -> TypeAdapter[Params]:
    """What checks a params file with these choices.

    The sections of ``CHOSEN`` accept the arguments of the chosen entries and no others. If the choice is missing or
    unknown, they accept any.
    """
    return TypeAdapter(params(choices))


@cache
def params(choices: Choices) -> Any:
    """The type of a params file with these choices, see ``adapter``."""
    fields = {name: chosen.made(getattr(choices, chosen.kind)) for name, chosen in CHOSEN.items()}
    fields["split"] = _with_alternatives(fields["split"])
    return made("Params", keys(Params) | fields)


def _with_alternatives(kind: Any) -> Any:
    """The section ``split`` whose optional keys are alternatives: exactly one of them must be given."""
    names = [name for name, annotation in keys(kind).items() if optional(annotation)]

    def check(found: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in names if found.get(name) is not None]
        if names and len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise PydanticCustomError("alternatives", f"exactly one of {', '.join(names)}; found {said}")  # type: ignore[arg-type]
        return found

    return Annotated[kind, AfterValidator(check)]
