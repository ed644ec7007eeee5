"""``alexnet``: AlexNet (Krizhevsky et al. 2012), the network of both papers' main tables."""

from torchvision import models

from pipeline.backbones._torchvision import TorchvisionBackbone, drop_last_of_classifier


class AlexNet(TorchvisionBackbone):
    """torchvision's AlexNet up to its 4096 features; ``imagenet`` weights are torchvision's IMAGENET1K_V1."""

    num_features = 4096

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__(weights, models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1, drop_last_of_classifier)
