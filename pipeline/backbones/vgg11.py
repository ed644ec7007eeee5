"""``vgg11``: VGG11 (Simonyan & Zisserman 2015), the network of the HSWD paper's 128-bit table."""

from torchvision import models

from pipeline.backbones._torchvision import TorchvisionBackbone, drop_last_of_classifier


class VGG11(TorchvisionBackbone):
    """torchvision's VGG11 up to its 4096 features; ``imagenet`` weights are torchvision's IMAGENET1K_V1."""

    num_features = 4096
    smallest_input = 32

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__(weights, models.vgg11, models.VGG11_Weights.IMAGENET1K_V1, drop_last_of_classifier)
