"""MLflow: one experiment per study, with one current run per cell and one for the study."""

from pipeline.operations.tracking.complete import complete, complete_or_say_how

__all__ = ["complete", "complete_or_say_how"]
