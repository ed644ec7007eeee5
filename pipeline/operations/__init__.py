"""What is done around the experiment: parallel sweeps, MLflow, sharing, verification, the table in a terminal."""
