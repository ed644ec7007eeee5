"""Commands around the experiment: parallel sweeps, MLflow, models, sharing, verification, the results table."""
