"""DVC's graph, cache and lock files, from inside.

The only folder of the sweep that uses what DVC 3.67 doesn't document; tests/sweep/test_sweep.py compares what it
leaves with what `dvc repro` leaves, and fails where a new DVC changes that.
"""
