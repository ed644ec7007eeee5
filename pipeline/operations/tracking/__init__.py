"""MLflow: one experiment a study, one current run a cell, one run for the study."""

from pipeline.operations.tracking.complete import complete, complete_or_say_how

__all__ = ["complete", "complete_or_say_how"]
