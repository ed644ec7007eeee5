"""The base of every section's model."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown keys are errors, and no value is converted: a string is never accepted as a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
