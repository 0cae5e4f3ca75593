"""What the installed safetensors can write."""

from importlib.metadata import version

from packaging.version import Version

WRITES_COMPLEX = Version(version("safetensors")) >= Version("0.7")
