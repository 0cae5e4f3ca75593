"""Frozen configuration of a network, and strict conversion from and to plain data and YAML.

The conversion is our own because cattrs silently converts what must be refused (2.5 to 2, null to "None",
"no" to True, the text "1e-4" to a number): strict hooks for each type, and turning its nested errors into one
line with file and key, take more code than this module.
"""

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np

from grmp_plugin.errors import ConfigError
from grmp_plugin.plain_data import read_yaml_file, shown
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

_EXPONENT = r"[+-]?[0-9.]+[eE][+-]?[0-9]+"  # a number that YAML may take for text

T = TypeVar("T")


@dataclass(frozen=True)
class Between:
    """Annotation of a number: its bounds, included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        above: Whether `low` itself is excluded.
    """

    low: float
    high: float
    above: bool = False

    def problem(self, value: float) -> str | None:
        """Why a value is out of bounds; None if it is not."""
        if not math.isfinite(value):
            return "must be a finite number"
        if value < self.low or (self.above and value == self.low):
            return f"must be {'larger than' if self.above else 'at least'} {self.low}"
        return f"must be at most {self.high}" if value > self.high else None


@dataclass(frozen=True)
class Length:
    """Annotation of a text or list: the fewest and the most characters or items."""

    low: int
    high: int

    def problem(self, value: Sequence[Any]) -> str | None:
        """Why a value is too short or too long; None if it is neither."""
        if len(value) < self.low:
            return "must not be empty" if self.low == 1 else f"must have at least {self.low} items"
        what = "characters" if isinstance(value, str) else "items"
        return f"must have at most {self.high} {what}" if len(value) > self.high else None


Side = Annotated[int, Between(1, 8192)]
"""A number of pixels."""

Text = Annotated[str, Length(1, 1000)]
"""A prompt, or a part of one."""

_Mean = Annotated[float, Between(-10, 10)]
_Std = Annotated[float, Between(1e-3, 10)]
_MOST_PIXELS = 1 << 24  # of all views of an image


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image becomes the square views that the network sees.

    `squash`, as in the paper, resizes the whole image to `resize` x `resize` and takes the central `size` x
    `size`. `crops` keeps the aspect ratio: a grid of crops from each level of a small pyramid.
    """

    kind: str = "squash"
    size: Side = 224  # side of a view, pixels
    resize: Side = 244  # squash: side of the squashed image, pixels
    short_side: Side = 448  # crops: larger images are reduced to this short side, pixels
    # crops: levels of the pyramid, relative to the reduced image
    scales: Annotated[tuple[Annotated[float, Between(0, 1, above=True)], ...], Length(1, 16)] = (1.0, 0.5)
    grid: Annotated[int, Between(1, 16)] = 2  # crops: at most grid x grid crops per level
    mean: tuple[_Mean, _Mean, _Mean] = IMAGENET_MEAN
    std: tuple[_Std, _Std, _Std] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Reject impossible values, quoting them."""
        check_bounds(self)
        if self.kind not in ("squash", "crops"):
            raise ConfigError(f"preprocess kind must be 'squash' or 'crops', not {shown(self.kind)}")
        if self.kind == "squash" and self.resize < self.size:
            raise ConfigError(f"squash: resize {self.resize} is smaller than the view, {self.size}")
        views = 1 if self.kind == "squash" else len(self.scales) * self.grid**2
        if views * self.size**2 > _MOST_PIXELS:
            raise ConfigError(
                f"{views} views of {self.size} x {self.size} pixels for each image; at most "
                f"{_MOST_PIXELS} pixels are possible"
            )


@dataclass(frozen=True)
class BackboneConfig:
    """The CLIP model, and where weights come from that a checkpoint does not contain."""

    # open_clip's model name, or any name with an `architecture`
    name: Annotated[str, Length(1, 200)] = "ViT-B-16-quickgelu"
    weights: str | None = "openai"  # open_clip's weights tag or a file; None: the checkpoint is complete
    # open_clip's model configuration, for a CLIP that open_clip does not list; may have a section `trunk`.
    architecture: dict[str, Any] | None = None


SCENE = "{scene}"
"""Where `NetworkConfig.scene_text` has the name of the scene."""

_ContextTokens = Annotated[int, Between(1, 256)]
_VisualPrompts = Annotated[int, Between(1, 4096)]
_Dropout = Annotated[float, Between(0, 0.99)]
_Scenes = Annotated[tuple[Text, ...], Length(1, 1000)]


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that determines what a network computes, apart from its weights."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    context_tokens: _ContextTokens = 4  # learnable context vectors before each quality text
    visual_prompts: _VisualPrompts = 100  # learnable tokens for each image block
    prompt_dropout: _Dropout = 0.1  # on the visual prompts, training only
    quality_texts: tuple[Text, Text] = ("high quality.", "low quality.")
    scene_text: Text = "a photo of a {scene}"
    scenes: _Scenes = SCENES
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)

    def __post_init__(self) -> None:
        """Reject impossible values, quoting them."""
        check_bounds(self)
        if len(self.quality_texts) != 2:
            raise ConfigError("quality_texts must be two: first the good one, then the bad one")
        if self.quality_texts[0] == self.quality_texts[1]:
            raise ConfigError(f"the two quality_texts are the same: {shown(self.quality_texts[0])}")
        if len(self.scenes) > 1 and SCENE not in self.scene_text:
            raise ConfigError(f"scene_text {shown(self.scene_text)} does not contain {SCENE}")

    @property
    def scene_texts(self) -> tuple[str, ...]:
        """The texts of all scenes."""
        # Not `str.format`, which would give a file access to attributes and to widths of gigabytes.
        return tuple(self.scene_text.replace(SCENE, scene) for scene in self.scenes)


@dataclass(frozen=True)
class PromptConfig:
    """Numbers and texts of new prompts; null: those of the start, or the method's."""

    context_tokens: _ContextTokens | None = None  # learnable context vectors before each quality text
    visual_prompts: _VisualPrompts | None = None  # learnable tokens for each image block
    prompt_dropout: _Dropout | None = None  # on the visual prompts, training only
    quality_texts: tuple[Text, Text] | None = None  # first the good one
    scene_text: Text | None = None  # with {scene} in the place of the scene
    scenes: _Scenes | None = None  # of the semantic task

    def __post_init__(self) -> None:
        """Reject impossible values, quoting them."""
        check_bounds(self)

    def applied_to(self, config: NetworkConfig) -> NetworkConfig:
        """The configuration of a network with these prompts."""
        return dataclasses.replace(config, **self.given)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are not null."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if value is not None}


def check_keys(data: Mapping[str, Any], known: Sequence[str], source: str) -> None:
    """Raise `ConfigError` for the first unknown key, with the nearest known one.

    Args:
        data: What was read.
        known: The keys that are allowed.
        source: File or section, for the message.
    """
    for key in sorted(data.keys() - set(known), key=str):
        hint = did_you_mean(str(key)[:100], known) or f"Known: {', '.join(known)}."
        raise ConfigError(f"{source}: unknown key {shown(str(key))}. {hint}")


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
        merged = _overlaid(merged, read_yaml_file(Path(path)))
    return from_dict(cls, merged, str(paths[-1]) if paths else cls.__name__)


def _overlaid(base: Any, data: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(data, Mapping):
        return data
    return {**base, **{name: _overlaid(base.get(name), value) for name, value in data.items()}}


def from_dict(cls: type[T], data: Any, source: str) -> T:
    """Build a frozen config dataclass from plain data; unknown keys and wrong types are errors.

    Args:
        cls: A dataclass whose fields are numbers, strings, booleans, tuples, mappings, or such dataclasses,
            with bounds as annotations (`Between`, `Length`).
        data: A mapping, as read from JSON or YAML; sections are mappings, and lists become tuples.
        source: File or section, for messages.

    Raises:
        ConfigError: For a missing or unknown key, or a value of the wrong type or out of bounds.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: expected a section with keys, found {shown(data)}")
    hints = _hints(cls)
    check_keys(data, list(hints), source)
    for name in _required(cls):
        if name not in data:
            raise ConfigError(f"{source}: the key '{name}' is missing")
    values = {name: _converted(value, hints[name], f"{source}: {name}") for name, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:  # the class knows what is wrong, but not in which file or section
        raise ConfigError(f"{source}: {error}") from error


def to_dict(config: Any) -> dict[str, Any]:
    """The plain data that `from_dict` reads back."""
    return dataclasses.asdict(config)


def given_value(cls: type[Any], name: str, value: Any) -> Any:
    """A value that a caller gives for a field of a config dataclass; scalars of numpy are taken, too.

    Raises:
        ConfigError: For a value of the wrong type; `argument` is the field.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        return _converted(plain, _hints(cls)[name], name)
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix(f"{name}: "), argument=name) from error


def check_bounds(config: Any) -> None:
    """Check the fields of a config dataclass against their annotations, for its `__post_init__`.

    Raises:
        ConfigError: For a value out of bounds; `argument` is the field.
    """
    for name, hint in _hints(type(config)).items():
        problem = _out_of_bounds(getattr(config, name), hint)
        if problem is not None:
            raise ConfigError(problem, argument=name)


def _hints(cls: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _required(cls: type[Any]) -> tuple[str, ...]:
    missing = dataclasses.MISSING
    return tuple(
        field.name
        for field in dataclasses.fields(cls)
        if field.default is missing and field.default_factory is missing
    )


def _out_of_bounds(value: Any, hint: Any) -> str | None:
    """Why a value, or an item of a list, is out of the bounds of its annotation; None if it is not."""
    if value is None:
        return None
    if _is_union(hint):
        return _out_of_bounds(value, _member(value, hint))
    members: tuple[Any, ...]
    if typing.get_origin(hint) is Annotated:
        hint, *bounds = typing.get_args(hint)
        for bound in bounds:
            problem: str | None = bound.problem(value)
            if problem is not None:
                return f"{problem}, not {shown(value)}"
    if typing.get_origin(hint) is not tuple:
        return None
    members = typing.get_args(hint)
    return next(filter(None, (_out_of_bounds(item, members[0]) for item in value)), None)


def _converted(value: Any, hint: Any, where: str) -> Any:
    """Return a value in the type of its field, or raise `ConfigError`."""
    if _is_union(hint):
        if value is None and type(None) in typing.get_args(hint):
            return None
        hint = _member(value, hint)
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast("type[Any]", hint), value, where)
    kind = typing.get_origin(hint) or hint
    if value is None:
        raise ConfigError(f"{where}: expected {_NAMES[kind]}, found nothing (null)")
    if kind in (tuple, Sequence):
        return _converted_list(value, typing.get_args(hint), where)
    if kind is float and type(value) is int:
        value = _as_float(value, where)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        text_for_number = kind is float and isinstance(value, str) and re.fullmatch(_EXPONENT, value)
        advice = " (YAML reads 1e-4 as text: write 1.0e-4)" if text_for_number else ""
        raise ConfigError(f"{where}: expected {_NAMES[kind]}, found {shown(value)}{advice}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, found {value}")
    if kind is str:
        _check_text(value, where)
    return value


def _as_float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ConfigError(f"{where}: {shown(value)} is too large a number") from error


def _check_text(value: str, where: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where}: {shown(value)} is not valid Unicode") from error


def _converted_list(value: Any, members: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"{where}: expected a list, found {shown(value)}")
    if len(members) > 1 and members[-1] is not Ellipsis and len(value) != len(members):
        raise ConfigError(f"{where}: expected a list of {len(members)}, found {shown(value)}")
    return tuple(_converted(item, members[0], where) for item in value)


def _is_union(hint: Any) -> bool:
    # `X | None` is a `typing.Union` when X is annotated.
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _member(value: Any, hint: Any) -> Any:
    """The type that a value is to have: of `int | tuple[int, int] | None`, the tuple for a list."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if isinstance(value, list | tuple):
        return next((kind for kind in kinds if typing.get_origin(kind) is tuple), kinds[0])
    return kinds[0]
