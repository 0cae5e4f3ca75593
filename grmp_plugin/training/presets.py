"""Settings of a training: defaults, those measured for the backbone, a protocol's, a file's, arguments.

Each overrides those before it.
"""

import dataclasses
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from grmp_plugin.config import given_value, read_yaml
from grmp_plugin.errors import InputError
from grmp_plugin.files import existing, given_path
from grmp_plugin.plain_data import read_yaml_file
from grmp_plugin.suggest import did_you_mean
from grmp_plugin.training.settings import AdaptConfig, PretrainConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", AdaptConfig, PretrainConfig)
Settings = TypeVar("Settings", bound="DataclassInstance")

PRESETS = {
    "adapt": (
        "tiny/adapt",
        *(f"paper/{name}" for name in ("livec", "koniq", "spaq", "flive", "pipal", "live", "csiq")),
    ),
    "pretrain": ("tiny/pretrain", "paper/pretrain"),
}
# Settings that protocol released implies.
_RELEASED = {"adapt": "released-adapt", "pretrain": "released-pretrain"}
# Backbone -> folder of the settings that were measured for it.
_MEASURED = {"grmp-tiny": "tiny"}


def read_config(
    kind: type[Config],
    config: str | os.PathLike[str] | None,
    *,
    backbone: str | None = None,
    protocol: str | None = None,
) -> Config:
    """The configuration of a training.

    Args:
        kind: `AdaptConfig` or `PretrainConfig`.
        config: YAML file, or name of a preset such as `paper/livec`.
        backbone: Name of the backbone to train; settings measured for it replace the defaults.
        protocol: Protocol that overrides the configuration's.

    Raises:
        InputError: When there is no such file or preset.
        ConfigError: When the file cannot be read, or has an unknown key or a value that cannot be used.
    """
    measured = []
    if backbone in _MEASURED:
        measured.append(find_config(f"{_MEASURED[backbone]}/{kind.stage}", kind.stage))
    given = [] if config is None else [find_config(config, kind.stage)]
    if (protocol or read_yaml(kind, *given).training.protocol) == "released":
        measured.append(_bundled(f"paper/{_RELEASED[kind.stage]}"))
    merged = read_yaml(kind, *measured, *given)
    if protocol is None or merged.training.protocol == protocol:
        return merged
    return dataclasses.replace(merged, training=with_arguments(merged.training, protocol=protocol))


def find_config(config: str | os.PathLike[str], stage: str) -> Path:
    """A configuration file by its path, or a preset by its name.

    Args:
        config: Path or name.
        stage: `adapt` or `pretrain`.

    Raises:
        InputError: When it is neither.
    """
    name = given_path(config, "a YAML file or a preset's name", "config")
    path = existing(name)
    if path is not None and path.is_file():
        return path
    presets = PRESETS[stage]
    preset = name.removesuffix(".yml")
    if preset in presets:
        return _bundled(preset)
    hint = " ".join(filter(None, [did_you_mean(name, presets), f"Presets: {', '.join(presets)}"]))
    raise InputError(f"{name}: no such file or preset. {hint}", argument="config")


def _bundled(name: str) -> Path:
    return Path(str(files("grmp_configs"))) / f"{name}.yml"


def configured_keys(config: str | os.PathLike[str], stage: str) -> set[str]:
    """The keys that a configuration file or preset sets, those of its section `training` included."""
    data = read_yaml_file(find_config(config, stage))
    return {*data, *data.get("training", {})}


def with_arguments(settings: Settings, **arguments: Any) -> Settings:
    """Settings with explicit arguments in place; None stands for an argument that was not given.

    Raises:
        ConfigError: When a value cannot be used.
    """
    given = {
        name: given_value(type(settings), name, value)
        for name, value in arguments.items()
        if value is not None
    }
    return dataclasses.replace(settings, **given)
