"""Records of what was made, for results that a test writes itself."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.runtime import provenance
from pipeline.runtime.layout import Cell, Group, Layout


def recorded(
    params: dict[str, Any], layout: Layout, stage: str, about: Cell | Group | dict[str, Any], folder: Path
) -> None:
    """Say of a folder that a stage made it of these params and the present code."""
    item = about if isinstance(about, dict) else asdict(about)
    provenance.write(provenance.begun(stage, item, params, layout.folder), folder, folder, layout.folder)
