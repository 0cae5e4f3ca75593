"""Versions of the packages that determine a score, for `--version` and for run records."""

import platform
from importlib import metadata

from grmp_plugin.version import __version__

_PACKAGES = ("torch", "open_clip_torch", "pyiqa", "numpy", "pillow")


def package_versions() -> dict[str, str]:
    """Names and versions, without importing any of the packages."""
    found = {"grmp-iqa": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["python"] = platform.python_version()
    return found
