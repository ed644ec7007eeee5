"""code: the modules that a stage of every cell uses; the record of what this was made of is all that it writes."""

from typing import Any

from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: dict[str, Any], layout: Layout, of: str) -> None:
    with layout.whole(layout.code(of)):
        pass


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
