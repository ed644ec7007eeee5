"""``cnn``: a small convolutional network for images of 8 to 64 pixels, trained from scratch on a CPU."""

import torch
from torch import nn

from pipeline.backbones import Backbone, load_file
from pipeline.runtime.errors import UserError


class Cnn(Backbone):
    """Four 3 x 3 convolutions with batch normalization (32, 64, 128, 128 channels) and global average pooling.

    The first convolution has stride 2, and 2 x 2 max pooling follows the second. A 32 x 32 image takes 19 million
    multiplications. The network is from neither paper; both use AlexNet, which is too slow for an embedded default.

    Args:
        weights: ``none`` or the path of a ``state_dict`` file.

    Raises:
        UserError: ``weights`` is ``imagenet``, or the file doesn't fit.
    """

    num_features = 128

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_block(3, 32, stride=2),
            *_block(32, 64),
            _MaxPool(2),
            *_block(64, 128),
            *_block(128, 128),
            _Mean(1),
            nn.Flatten(),
        )
        if weights == "imagenet":
            raise UserError(
                "backbone.weights: cnn has no ImageNet weights; expected 'none' or the path of a state_dict"
            )
        if weights != "none":
            load_file(self, weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(images)
        return features


class _MaxPool(nn.MaxPool2d):
    """Max pooling that converts contiguous input to channels last and back in evaluation mode.

    The values are the same. On a CPU this is four to six times as fast, conversions included.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        turned = not self.training and images.is_contiguous()
        given = images.contiguous(memory_format=torch.channels_last) if turned else images
        pooled: torch.Tensor = super().forward(given)
        return pooled.contiguous() if turned else pooled


class _Mean(nn.AdaptiveAvgPool2d):
    """Global average pooling; for channels-last input on a CPU, computed as a sum.

    The gradient of the sum suits every memory layout. The gradient of the pooling layer is contiguous, and the backward
    pass of the ReLU before it then takes twenty times as long.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.device.type != "cpu" or images.is_contiguous():
            return super().forward(images)
        return images.sum((2, 3), keepdim=True) / (images.shape[2] * images.shape[3])


def _block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]
