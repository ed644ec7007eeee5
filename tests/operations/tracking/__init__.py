"""MLflow: for real, on each kind of store."""
