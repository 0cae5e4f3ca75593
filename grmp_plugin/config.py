"""Frozen configuration of a network, and strict conversion from and to plain data and YAML."""

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from grmp_plugin.errors import ConfigError

# The nine scenes of the semantic task, spelled as the method spells them.
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

T = TypeVar("T")


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image becomes the square views that the network sees.

    `squash` is the paper's: the whole image at `resize` x `resize`, then the central `size` x `size`.
    `crops` keeps the aspect ratio: a grid of crops from each level of a small pyramid.
    """

    kind: str = "squash"
    size: int = 224  # side of a view, pixels
    resize: int = 244  # squash: side of the squashed image, pixels
    short_side: int = 448  # crops: larger images are reduced to this short side, pixels
    scales: tuple[float, ...] = (1.0, 0.5)  # crops: levels of the pyramid, relative to the reduced image
    grid: int = 2  # crops: crops per level are at most grid x grid
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Reject what cannot work, quoting the value."""
        if self.kind not in ("squash", "crops"):
            raise ConfigError(f"preprocess kind is 'squash' or 'crops', not {self.kind!r}")
        if self.kind == "squash" and self.resize < self.size:
            raise ConfigError(f"squash: resize {self.resize} is smaller than the view, {self.size}")
        if self.size < 1 or self.grid < 1 or self.short_side < 1:
            raise ConfigError("preprocess: size, grid and short_side are positive numbers of pixels or crops")
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise ConfigError(f"preprocess scales lie in (0, 1], not {self.scales}")


@dataclass(frozen=True)
class BackboneConfig:
    """Which CLIP the network stands on, and where weights come from that a checkpoint does not carry."""

    name: str = "ViT-B-16-quickgelu"  # open_clip's model name, or a name of ours with an `architecture`
    weights: str | None = "openai"  # open_clip's weights tag or a file; None: the checkpoint carries all
    # open_clip's model configuration, for a CLIP that open_clip does not list; `trunk` may stand beside.
    architecture: dict[str, Any] | None = None


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that decides what a network computes, apart from its weights."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    context_tokens: int = 4  # learnable context vectors before each quality text
    visual_prompts: int = 100  # learnable tokens for each image block
    prompt_dropout: float = 0.1  # on the visual prompts, training only
    quality_texts: tuple[str, str] = ("high quality.", "low quality.")
    scene_text: str = "a photo of a {scene}"
    scenes: tuple[str, ...] = SCENES
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)

    def __post_init__(self) -> None:
        """Reject what cannot work, quoting the value."""
        if self.context_tokens < 1 or self.visual_prompts < 1:
            raise ConfigError("context_tokens and visual_prompts are at least 1")
        if not 0 <= self.prompt_dropout < 1:
            raise ConfigError(f"prompt_dropout lies in [0, 1), not {self.prompt_dropout}")
        if len(self.quality_texts) != 2:
            raise ConfigError("quality_texts are two: first the good one, then the bad one")


def check_keys(data: Mapping[str, Any], known: Sequence[str], source: str) -> None:
    """Raise `ConfigError` for the first key that is not known, with the nearest known one.

    Args:
        data: what was read.
        known: the keys that mean something.
        source: file or section, for the message.
    """
    for key in sorted(data.keys() - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}."
        raise ConfigError(f"{source}: unknown key '{key}'. {hint}")


def read_yaml(cls: type[T], *paths: str | os.PathLike[str]) -> T:
    """Read one of the frozen config dataclasses from YAML files; safe, and strict as `from_dict`.

    Args:
        cls: one of the config dataclasses.
        paths: files; what a later one does not say is taken from those before it.

    Raises:
        ConfigError: for a missing file, an unknown key or a value of the wrong kind.
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


def from_dict(cls: type[T], data: Mapping[str, Any], source: str) -> T:
    """Build a frozen config dataclass from plain data: strict about keys, lists become tuples.

    Args:
        cls: one of this module's dataclasses.
        data: plain data, as JSON or YAML give it; nested sections are mappings.
        source: file or section, for messages.

    Raises:
        ConfigError: for an unknown key or a value of the wrong kind.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: expected a section with keys, found {data!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    check_keys(data, list(fields), source)
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in data.items():
        default = _default(fields[name])
        if default is None:
            default = _example(hints[name])
        if value is None and type(None) not in typing.get_args(hints[name]):
            raise ConfigError(f"{source}: {name}: expected {type(default).__name__}, found nothing (null)")
        values[name] = _same_kind(value, default, f"{source}: {name}")
    try:
        return cls(**values)
    except ConfigError as error:  # the class knows what is wrong, but not where it stands
        raise ConfigError(f"{source}: {error}") from error


def to_dict(config: Any) -> dict[str, Any]:
    """The plain data that `from_dict` reads back."""
    return dataclasses.asdict(config)


def _default(f: "dataclasses.Field[Any]") -> Any:
    if f.default is not dataclasses.MISSING:
        return f.default
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return None


def _example(hint: Any) -> Any:
    """A value of the kind that an optional field takes when it is not None; None where that is not plain."""
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else ()
    return next((kind() for kind in members if kind in (str, int, float, bool)), None)


def _same_kind(value: Any, default: Any, where: str) -> Any:
    """The value in the type of its default; YAML's `1e-4` is a string and is refused with the reason."""
    if default is None or value is None:
        return value
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return from_dict(type(default), value, where)
    if isinstance(default, tuple):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigError(f"{where}: expected a list, found {value!r}")
        return tuple(_same_kind(item, default[0], where) for item in value) if default else tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, type(default)) or (isinstance(value, bool) != isinstance(default, bool)):
        hint = " (YAML reads 1e-4 as text: write 1.0e-4)" if isinstance(value, str) else ""
        raise ConfigError(f"{where}: expected {type(default).__name__}, found {value!r}{hint}")
    return value
