"""tune: the training setting of one (method, quantizer, bits), chosen on validation images."""

from pipeline.params import Params
from pipeline.params.schema import TRAINING_FREE
from pipeline.runtime.entry import group_stage
from pipeline.runtime.layout import Group, Layout
from pipeline.training import tuning


def main(params: Params, layout: Layout, group: Group) -> None:
    with layout.atomic_output(layout.tuning(group)) as target:
        if params["tune"] is None or group.method in TRAINING_FREE:
            tuning.leave_as_is(target)
        else:
            tuning.tune(params, group, layout, target)


STAGE = group_stage(main)

if __name__ == "__main__":
    STAGE.main()
