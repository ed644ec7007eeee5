"""Which epoch's weights are kept."""

import numpy as np

from pipeline.codes import sign
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import HashNetwork
from pipeline.preparation.arrays import Prepared
from pipeline.preparation.splits import Indices, Split
from pipeline.retrieval import evaluate


class Selection:
    """Scores an epoch by the mAP of held-out images, with the exact expectation over ties.

    The validation mAP ranks the training images for each validation image: it costs little, and neither the
    queries nor the rest of the database are looked at.

    Args:
        rule: ``validation`` keeps the epoch with the best validation mAP; ``last`` keeps the last one;
            ``test`` keeps the one that does best on the queries against the whole database, as the public
            implementations do. ``test`` overstates what the method would reach on new images.
    """

    def __init__(self, rule: str, data: Prepared, split: Split) -> None:
        self.rule = rule
        self._data = data
        self._split = split

    def validation_map(self, network: HashNetwork) -> float:
        return self._map(network, self._split.validation, self._split.train)

    def score(self, network: HashNetwork, epoch: int, validation_map: float) -> float:
        """What the best epoch has most of."""
        if self.rule == "last":
            return float(epoch)
        if self.rule == "test":
            return self._map(network, self._split.query, self._split.database)
        return validation_map

    def _map(self, network: HashNetwork, query: Indices, database: Indices) -> float:
        device = network.head.weight.device
        both = np.concatenate([query, database])
        codes = sign(outputs(network, self._data.images, both, device).numpy())
        labels = self._data.labels[both]
        cut = len(query)
        result = evaluate(codes[:cut], labels[:cut], codes[cut:], labels[cut:], precision_at=(1,))
        return result.mean_average_precision
