"""``orthohash``: one loss by cosine similarity to binary class targets (Hoe et al., NeurIPS 2021)."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.methods import Method, direction
from pipeline.methods.shared.centers import hash_centers
from pipeline.runtime.ranges import NonNegative, Positive, PositiveInt, Seed


class OrthoHash(Method):
    """Softmax over the cosines of an image's outputs with the classes' hash centers, with a margin.

    With centers o_c in {-1, +1}^K and cos_ic = u_i . o_c / (|u_i| sqrt K), the loss is the mean over images of

        - sum_c (y_ic / |Y_i|) log softmax_c(scale (cos_ic - margin y_ic))

    where |Y_i| is the number of the image's labels (label smoothing, section 3.3 of the paper, and ``label_smoothing``
    in the authors' code, https://github.com/kamwoh/orthohash). The cosine with a binary vector is largest at that
    vector, so the paper needs no quantization term. The authors' code has one with weight 0 by default, which is the
    own term here:

        quantization * mean_i (1 - cos(u_i, sgn(u_i)))

    A batch normalization follows the head, to balance the bits. It has a learned scale and shift, as in the authors'
    code (``models/alexnet.py``).

    Deviations: (1) the authors draw the centers from Bernoulli(1/2). Here they are those of ``csq``. If K is a power of
    two and C <= K, they are rows of a Hadamard matrix, which are orthogonal; the paper names this as the best case. For
    K < C <= 2K, negatives of the first C - K rows are added, so some pairs of centers are opposite. Otherwise they are
    random codes with bounded distance. (2) ``original`` equals ``none`` unless ``quantization`` is greater than 0.

    Args:
        scale: s, 8 in the authors' code.
        margin: m, 0.2 in the authors' code.
        quantization: weight of the own term.
        center_seed: seed of sampled centers; the same for all training seeds.
    """

    centers: Tensor
    batch_norm = True

    def __init__(
        self,
        *,
        code_length: PositiveInt,
        num_classes: PositiveInt,
        num_train: PositiveInt,
        scale: Positive = 8.0,
        margin: NonNegative = 0.2,
        quantization: NonNegative = 0.0,
        center_seed: Seed = 0,
    ) -> None:
        super().__init__(code_length=code_length, num_classes=num_classes, num_train=num_train)
        self.scale, self.margin, self.quantization = scale, margin, quantization
        centers = torch.as_tensor(hash_centers(num_classes, code_length, center_seed), dtype=torch.float32)
        self.register_buffer("centers", centers)

    def similarity_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        labels = labels.to(self.centers.dtype)
        cosines = direction(u) @ self.centers.T / self.code_length**0.5
        of_class = functional.log_softmax(self.scale * (cosines - self.margin * labels), dim=1)
        return -((labels * of_class).sum(dim=1) / labels.sum(dim=1).clamp(min=1)).mean()

    def quantization_loss(self, u: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        if not self.quantization:
            return super().quantization_loss(u, labels, indices)
        cosines: Tensor = direction(u).abs().sum(dim=1) / self.code_length**0.5
        return self.quantization * (1 - cosines).mean()
