"""Data files inside the installed open_clip, found without importing it: that takes seconds."""

from importlib.util import find_spec
from pathlib import Path

from grmp_plugin.errors import BackboneError


def open_clip_file(name: str) -> Path:
    """Where a file of the package is; it need not be there.

    Args:
        name: path inside the package, such as `model_configs/ViT-B-16.json`.

    Raises:
        BackboneError: when open_clip is not installed.
    """
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise BackboneError("open_clip is not installed: pip install open_clip_torch")
    return Path(spec.submodule_search_locations[0]) / name
