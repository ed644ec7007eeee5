"""A study's tables: one row per cell, and one row per (method, quantizer, bits) tested against the baseline."""

from pipeline.aggregation.comparison import BALANCE, BASELINE, KEYS, TIE_BOUNDS

__all__ = ["BALANCE", "BASELINE", "KEYS", "TIE_BOUNDS"]
