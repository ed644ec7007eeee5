"""batch-size: the validation mAP of one (method, quantizer, bits) at one batch size, for one seed."""

from typing import Any

from pipeline.preparation import arrays
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Group, Layout
from pipeline.runtime.outputs import write_json
from pipeline.training.trial import validation_map


def main(params: dict[str, Any], method: str, quantizer: str, bits: int, batch_size: int, seed: int) -> None:
    layout, group = Layout(params["study"]), Group(method, quantizer, bits)
    with layout.whole(layout.batch_size(group, batch_size, seed)) as target:
        found = validation_map(params, group, {"batch_size": batch_size}, seed, arrays.load(layout.data))
        write_json(target / "batch_size.json", {"validation_map": found})


if __name__ == "__main__":
    stage(main, method=str, quantizer=str, bits=int, batch_size=int, seed=int)
