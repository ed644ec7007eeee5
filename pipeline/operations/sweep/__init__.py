"""``make sweep``: every out-of-date stage of the graph in parallel on Ray, leaving what `dvc repro` would leave."""
