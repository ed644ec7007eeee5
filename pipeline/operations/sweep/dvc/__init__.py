"""DVC's graph, cache and lock files, through its internal API.

This is the only folder of the sweep that uses undocumented parts of DVC 3.67. tests/operations/sweep/test_sweep.py
compares its results with those of `dvc repro`, and fails if a new version of DVC changes them.
"""
