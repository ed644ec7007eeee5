"""Retrieval by Hamming distance: mean average precision, precision and recall, with ties treated exactly."""

from pipeline.retrieval.evaluation import Curve, Retrieval, evaluate

__all__ = ["Curve", "Retrieval", "evaluate"]
