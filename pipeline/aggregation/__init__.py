"""Cells become tables: one row a cell, one row a (method, quantizer, bits) with its test against the baseline."""

from pipeline.aggregation.comparison import BALANCE, BASELINE, KEYS, TIE_BOUNDS

__all__ = ["BALANCE", "BASELINE", "KEYS", "TIE_BOUNDS"]
