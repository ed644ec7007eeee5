"""Retrieval by Hamming distance: mean average precision and precision at n, with ties treated exactly."""

from pipeline.retrieval.evaluation import Retrieval, evaluate

__all__ = ["Retrieval", "evaluate"]
