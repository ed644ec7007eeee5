"""Features: outputs of a frozen backbone for all images, computed once per study; heads are trained on them."""
