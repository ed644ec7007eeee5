"""Commands around the experiment: parallel sweeps, MLflow, sharing, verification, the results table."""
