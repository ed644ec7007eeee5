"""Training runs that no table's cell comes from: to choose settings, to take times, to compare batch sizes."""
