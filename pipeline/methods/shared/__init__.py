"""What the losses of several methods have in common. A change of a file here re-trains the cells of all methods."""
