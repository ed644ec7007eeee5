"""shared: the code and params that a stage of every cell uses; it writes the record of them and nothing else."""

from typing import Any

from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any], layout: Layout, of: str) -> None:
    with layout.atomic_output(layout.shared(of)):
        pass


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
