"""Types of hyperparameters: the ranges that params.yaml and ``create`` accept.

The keyword-only arguments of methods, quantizers, datasets, protocols and backbones are annotated with these types. The
schema of params.yaml is built from the annotations, so each hyperparameter is declared in one place.
"""

from typing import Annotated, Literal

from pydantic import Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
#: A seed that NumPy, torch and scikit-learn all accept (scikit-learn has the smallest range: below 2^32).
Seed = Annotated[int, Field(ge=0, lt=2**32)]
#: The parts of a dataset that a protocol draws. The database is every image that isn't a query.
Part = Literal["query", "validation", "train"]
