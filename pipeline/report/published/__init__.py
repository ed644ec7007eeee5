"""The two papers' numbers compared with ours; ``python -m pipeline published`` counts those with a counterpart."""
