"""shared: a provenance record of the code and params that a stage uses for every cell.

Also deletes the features of views that the params no longer name.
"""

import shutil
from contextlib import suppress

from pipeline.params import Params
from pipeline.runtime.entry import stage
from pipeline.runtime.layout import Layout


def main(params: Params, layout: Layout, of: str) -> None:
    # The stages of cells depend on the folder of all features, so views that the params no longer name must go. They
    # remain in DVC's cache.
    for folder in layout.inputs.glob("features-*"):
        if folder.name.removeprefix("features-") not in params["features"]["views"]:
            while folder.exists():
                with suppress(FileNotFoundError):  # several of these stages may delete it at the same time
                    shutil.rmtree(folder)
    with layout.atomic_output(layout.shared(of)):
        pass


STAGE = stage(main, of=str)

if __name__ == "__main__":
    STAGE.main()
