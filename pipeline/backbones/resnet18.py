"""``resnet18``: ResNet-18 (He et al. 2016)."""

from torchvision import models

from pipeline.backbones._torchvision import TorchvisionBackbone, drop_fc


class ResNet18(TorchvisionBackbone):
    """torchvision's ResNet18 up to its 512 features; ``imagenet`` weights are torchvision's IMAGENET1K_V1."""

    num_features = 512
    smallest_input = 32

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__(weights, models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1, drop_fc)
