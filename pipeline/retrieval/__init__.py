"""Retrieval by Hamming distance: mean average precision, precision, recall and NDCG, with ties treated exactly."""

from pipeline.retrieval.evaluation import Curve, Retrieval, evaluate

__all__ = ["Curve", "Retrieval", "evaluate"]
