"""Types of hyperparameters: what params.yaml may say, and what ``create`` accepts.

A method's, quantizer's or protocol's keyword-only arguments are annotated with these; the schema of params.yaml
is read off those annotations, so a number is declared in one place.
"""

from typing import Annotated, Literal

from pydantic import Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
#: What all sources of random numbers take: NumPy's, torch's, scikit-learn's (the least, below 2^32).
Seed = Annotated[int, Field(ge=0, lt=2**32)]
#: The parts of a dataset that a protocol draws; the database is what it leaves.
Part = Literal["query", "validation", "train"]
