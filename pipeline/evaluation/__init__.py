"""Measures of a cell: retrieval, code balance and informativeness; visualizations of its codes."""
