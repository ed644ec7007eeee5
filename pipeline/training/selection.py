"""Selection of the epoch whose weights are kept."""

from functools import cached_property

import numpy as np
import torch

from pipeline.codes import sign
from pipeline.encoding.encode import outputs_of
from pipeline.encoding.images import Inputs, inputs
from pipeline.encoding.network import HashNetwork
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Indices, Split
from pipeline.retrieval import evaluate


class Selection:
    """Scores an epoch by the mAP of held-out images, with the exact expectation over ties.

    For the validation mAP, the training images are ranked for each validation image. This is cheap and uses neither the
    query images nor the rest of the database.

    Args:
        rule: ``validation`` keeps the epoch with the best validation mAP; ``last`` keeps the last epoch; ``test``
            keeps the epoch with the best mAP of the query images against the whole database, as the public
            implementations do. ``test`` overestimates the mAP on new images.
        data: the prepared dataset.
        split: the images of each part.
        device: where the images are encoded.
    """

    def __init__(self, rule: str, data: Prepared, split: Split, device: torch.device) -> None:
        self.rule = rule
        self._validation = _Ranking(data, split.validation, split.train, device)
        self._test = _Ranking(data, split.query, split.database, device)

    def validation_map(self, network: HashNetwork) -> float:
        return self._validation.mean_average_precision(network)

    def score(self, network: HashNetwork, epoch: int, validation_map: float) -> float:
        """The score of an epoch; the epoch with the highest score is kept.

        Args:
            network: the network after the epoch.
            epoch: the number of the epoch, counted from 0.
            validation_map: the validation mAP of the epoch.
        """
        if self.rule == "last":
            return float(epoch)
        if self.rule == "test":
            return self._test.mean_average_precision(network)
        return validation_map


class _Ranking:
    """Ranks database images for query images; the images stay on the device after the first call."""

    def __init__(self, data: Prepared, query: Indices, database: Indices, device: torch.device) -> None:
        self._data, self._device = data, device
        self._queries = len(query)
        self._both = np.concatenate([query, database])

    @cached_property
    def _images(self) -> Inputs:
        return inputs(self._data.images, self._both, self._device)

    def mean_average_precision(self, network: HashNetwork) -> float:
        codes = sign(outputs_of(network, self._images).cpu().numpy())
        labels, cut = self._data.labels[self._both], self._queries
        result = evaluate(codes[:cut], labels[:cut], codes[cut:], labels[cut:], precision_at=(1,))
        return result.mean_average_precision
