"""``make sweep``: run every out-of-date stage in parallel on Ray, with the same results as `dvc repro`."""
