"""Data files of the installed open_clip, found without importing it, which takes seconds."""

from importlib.util import find_spec
from pathlib import Path

from grmp_plugin.errors import BackboneError


def open_clip_file(name: str) -> Path:
    """Path of a file of the package; the file need not exist.

    Args:
        name: Path inside the package, such as `model_configs/ViT-B-16.json`.

    Raises:
        BackboneError: When open_clip is not installed.
    """
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise BackboneError("open_clip is not installed: pip install open_clip_torch")
    return Path(spec.submodule_search_locations[0]) / name
