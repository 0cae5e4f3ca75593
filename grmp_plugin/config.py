"""Frozen configuration of a network, and strict conversion from and to plain data and YAML.

The conversion is our own because cattrs silently converts what must be refused (2.5 to 2, null to "None",
"no" to True, the text "1e-4" to a number): strict hooks for each type, and turning its nested errors into one
line with file and key, take more code than this module.
"""

import dataclasses
import os
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from grmp_plugin.errors import ConfigError
from grmp_plugin.suggest import did_you_mean

# The nine scenes of the semantic task, spelled as in the method.
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Types of plain values, as messages call them.
_NAMES: dict[Any, str] = {
    bool: "true or false",
    dict: "a section",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a list",
    Sequence: "a list",
}

T = TypeVar("T")


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image becomes the square views that the network sees.

    `squash`, as in the paper, resizes the whole image to `resize` x `resize` and takes the central `size` x
    `size`. `crops` keeps the aspect ratio: a grid of crops from each level of a small pyramid.
    """

    kind: str = "squash"
    size: int = 224  # side of a view, pixels
    resize: int = 244  # squash: side of the squashed image, pixels
    short_side: int = 448  # crops: larger images are reduced to this short side, pixels
    scales: tuple[float, ...] = (1.0, 0.5)  # crops: levels of the pyramid, relative to the reduced image
    grid: int = 2  # crops: at most grid x grid crops per level
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Reject impossible values, quoting them."""
        if self.kind not in ("squash", "crops"):
            raise ConfigError(f"preprocess kind must be 'squash' or 'crops', not {self.kind!r}")
        if self.kind == "squash" and self.resize < self.size:
            raise ConfigError(f"squash: resize {self.resize} is smaller than the view, {self.size}")
        if self.size < 1 or self.grid < 1 or self.short_side < 1:
            raise ConfigError("preprocess: size, grid and short_side must be positive")
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise ConfigError(f"preprocess scales must lie in (0, 1], not {self.scales}")


@dataclass(frozen=True)
class BackboneConfig:
    """The CLIP model, and where weights come from that a checkpoint does not contain."""

    name: str = "ViT-B-16-quickgelu"  # open_clip's model name, or any name with an `architecture`
    weights: str | None = "openai"  # open_clip's weights tag or a file; None: the checkpoint is complete
    # open_clip's model configuration, for a CLIP that open_clip does not list; may have a section `trunk`.
    architecture: dict[str, Any] | None = None


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that determines what a network computes, apart from its weights."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    context_tokens: int = 4  # learnable context vectors before each quality text
    visual_prompts: int = 100  # learnable tokens for each image block
    prompt_dropout: float = 0.1  # on the visual prompts, training only
    quality_texts: tuple[str, str] = ("high quality.", "low quality.")
    scene_text: str = "a photo of a {scene}"
    scenes: tuple[str, ...] = SCENES
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)

    def __post_init__(self) -> None:
        """Reject impossible values, quoting them."""
        if self.context_tokens < 1 or self.visual_prompts < 1:
            raise ConfigError("context_tokens and visual_prompts must be at least 1")
        if not 0 <= self.prompt_dropout < 1:
            raise ConfigError(f"prompt_dropout must lie in [0, 1), not {self.prompt_dropout}")
        if len(self.quality_texts) != 2:
            raise ConfigError("quality_texts must be two: first the good one, then the bad one")


def check_keys(data: Mapping[str, Any], known: Sequence[str], source: str) -> None:
    """Raise `ConfigError` for the first unknown key, with the nearest known one.

    Args:
        data: What was read.
        known: The keys that are allowed.
        source: File or section, for the message.
    """
    for key in sorted(data.keys() - set(known), key=str):
        hint = did_you_mean(str(key), known) or f"Known: {', '.join(known)}."
        raise ConfigError(f"{source}: unknown key '{key}'. {hint}")


def read_yaml(cls: type[T], *paths: str | os.PathLike[str]) -> T:
    """Read a frozen config dataclass from YAML files, as strictly as `from_dict`.

    Args:
        cls: The dataclass.
        paths: Files; a key in a later file overrides the same key in an earlier one.

    Raises:
        ConfigError: For a missing file, an unknown key or a value of the wrong type.
    """
    merged: Any = {}
    for path in paths:
        file = Path(path)
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{file} cannot be read as YAML: {error}") from error
        merged = _overlaid(merged, data)
    return from_dict(cls, merged, str(paths[-1]) if paths else cls.__name__)


def _overlaid(base: Any, data: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(data, Mapping):
        return data
    return {**base, **{name: _overlaid(base.get(name), value) for name, value in data.items()}}


def from_dict(cls: type[T], data: Any, source: str) -> T:
    """Build a frozen config dataclass from plain data; unknown keys and wrong types are errors.

    Args:
        cls: A dataclass whose fields are numbers, strings, booleans, tuples, mappings, or such dataclasses.
        data: A mapping, as read from JSON or YAML; sections are mappings, and lists become tuples.
        source: File or section, for messages.

    Raises:
        ConfigError: For an unknown key or a value of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: expected a section with keys, found {data!r}")
    hints = typing.get_type_hints(cls)
    check_keys(data, list(hints), source)
    values = {name: _converted(value, hints[name], f"{source}: {name}") for name, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:  # the class knows what is wrong, but not in which file or section
        raise ConfigError(f"{source}: {error}") from error


def to_dict(config: Any) -> dict[str, Any]:
    """The plain data that `from_dict` reads back."""
    return dataclasses.asdict(config)


def _converted(value: Any, hint: Any, where: str) -> Any:
    """Return a value in the type of its field, or raise `ConfigError`."""
    members = typing.get_args(hint)
    if isinstance(hint, types.UnionType):  # `kind | None`
        return None if value is None else _converted(value, members[0], where)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast("type[Any]", hint), value, where)
    kind = typing.get_origin(hint) or hint
    if value is None:
        raise ConfigError(f"{where}: expected {_NAMES[kind]}, found nothing (null)")
    if kind in (tuple, Sequence):
        return _converted_list(value, members, where)
    if kind is float and type(value) is int:
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        text_for_number = kind is float and isinstance(value, str)
        advice = " (YAML reads 1e-4 as text: write 1.0e-4)" if text_for_number else ""
        raise ConfigError(f"{where}: expected {_NAMES[kind]}, found {value!r}{advice}")
    return value


def _converted_list(value: Any, members: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"{where}: expected a list, found {value!r}")
    if len(members) > 1 and members[-1] is not Ellipsis and len(value) != len(members):
        raise ConfigError(f"{where}: expected a list of {len(members)}, found {value!r}")
    return tuple(_converted(item, members[0], where) for item in value)
