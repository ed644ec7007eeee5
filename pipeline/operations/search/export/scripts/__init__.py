"""Scripts that exports get as load.py. They run without this project."""
