"""Measures of a cell: retrieval, code balance, informativeness, and what is drawn of its codes."""
