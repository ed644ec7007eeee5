"""What the two papers print, and our numbers beside it; ``python -m pipeline published`` counts them."""
