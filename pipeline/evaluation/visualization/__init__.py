"""Codes to look at: t-SNE of codes, images and features; queries beside their nearest images."""
