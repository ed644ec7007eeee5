"""``resnet50``: ResNet-50 (He et al. 2016)."""

from torchvision import models

from pipeline.backbones._torchvision import TorchvisionBackbone, drop_fc


class ResNet50(TorchvisionBackbone):
    """torchvision's ResNet50 up to its 2048 features; ``imagenet`` weights are torchvision's IMAGENET1K_V1."""

    num_features = 2048
    smallest_input = 32

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__(weights, models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1, drop_fc)
