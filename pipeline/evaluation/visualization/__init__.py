"""Visualizations: t-SNE of codes, images and features; a gallery of queries and their nearest images."""
