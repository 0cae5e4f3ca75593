"""JSON and YAML of unknown origin, as plain data: text keys, finite numbers, bounded size and depth.

Parsers accept more than a configuration or a history can mean: dates, infinities, numbers of thousands of
digits, lists nested without end, aliases that unfold to gigabytes. Whatever reads a file goes through here,
so that no later code has to think of these.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from grmp_plugin.errors import ConfigError

MAX_DEPTH = 32
"""Levels of sections and lists."""

_MOST_VALUES = 2_000_000  # a history names every image that was learned from
_MOST_YAML_VALUES = 20_000  # PyYAML reads some ten thousand values per second
_MOST_BYTES = 16 << 20
MOST_FILE_BYTES = 256 << 20
"""Of a file of `read_json_file`, which may name all images of a job."""
_MOST_YAML_BYTES = 256 << 10
_LARGEST_INTEGER = 2**63 - 1

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlong = 40


def shown(value: Any) -> str:
    """A value as messages quote it: its `repr`, shortened."""
    try:
        return _short.repr(value)
    except ValueError:  # Python refuses to print integers of more than some thousand digits
        return "a number of thousands of digits"


def read_json(text: str, source: str) -> Any:
    """Plain data from JSON; NaN and infinity, which earlier releases wrote, are read as None.

    Args:
        text: JSON.
        source: File and part, for messages.

    Raises:
        ConfigError: When it is not JSON, or not plain data.
    """
    return _parsed(text, source, _MOST_BYTES, _MOST_VALUES)


def _parsed(text: str, source: str, most_bytes: int, most_values: int) -> Any:
    if len(text) > most_bytes:
        raise ConfigError(f"{source}: larger than {most_bytes >> 20} MiB")
    try:
        data = json.loads(text, parse_constant=lambda name: None)
    except RecursionError as error:
        raise ConfigError(f"{source}: {_too_deep()}") from error
    except ValueError as error:  # of the parser, or of Python for a number with too many digits
        raise ConfigError(f"{source}: not JSON: {error}") from error
    check_plain(data, source, most=most_values)
    return data


def read_json_file(file: Path) -> Any:
    """As `read_json`, from a file that a run keeps for later ones.

    Raises:
        ConfigError: When it cannot be read, is not a regular file, is not JSON, or not plain data.
    """
    try:
        # A pipe would never answer, and a device never end.
        if file.exists() and not file.is_file():
            raise ConfigError(f"{file}: not a file")
        with file.open("rb") as stream:
            text = stream.read(MOST_FILE_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    return _parsed(text, str(file), MOST_FILE_BYTES, MOST_FILE_BYTES // 16)


def read_yaml_file(file: Path) -> Any:
    """Plain data from a YAML file.

    Raises:
        ConfigError: When the file cannot be read, is not YAML, or holds anything but plain data.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_YAML_BYTES + 1)
        if len(content) > _MOST_YAML_BYTES:
            raise ConfigError(f"{file}: larger than {_MOST_YAML_BYTES >> 10} KiB, so no configuration")
        data = yaml.load(content.decode("utf-8-sig"), _Loader)
    except RecursionError as error:
        raise ConfigError(f"{file}: {_too_deep()}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read as YAML: {error}") from error
    check_plain(data, str(file), most=_MOST_YAML_VALUES)
    return data


def check_plain(data: Any, source: str, *, most: int = _MOST_VALUES) -> None:
    """Check that data consist of sections with text keys, lists, texts, finite numbers, booleans and nulls.

    Args:
        data: As parsed; values that aliases share count each time.
        source: File, for messages.
        most: Number of values that is accepted.

    Raises:
        ConfigError: For anything else; the message says where it is.
    """
    waiting: list[tuple[Any, _Place]] = [(data, _Place(None, None, 0))]
    count = 1
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, Mapping):
            _check_names(value, place, source)
            children = list(value.items())
        elif isinstance(value, list):
            children = list(enumerate(value, 1))
        else:
            _check_scalar(value, place, source)
            continue
        count += len(children)
        if count > most:
            raise ConfigError(f"{source}: more than {most} values")
        if place.depth == MAX_DEPTH:
            raise ConfigError(f"{source}: {_too_deep()}")
        waiting += [(child, _Place(place, key, place.depth + 1)) for key, child in children]


class _Place:
    """Where a value is: the section or list that it is in, and its key or number there."""

    __slots__ = ("depth", "key", "parent")

    def __init__(self, parent: "_Place | None", key: Any, depth: int) -> None:
        self.parent, self.key, self.depth = parent, key, depth

    def prefix(self, source: str) -> str:
        """`file: section: key: `."""
        keys = []
        place = self
        while place.parent is not None:
            keys.append(place.key if isinstance(place.key, str) else f"item {place.key}")
            place = place.parent
        return "".join(f"{part}: " for part in (source, *reversed(keys)))


def _check_names(section: Mapping[Any, Any], place: _Place, source: str) -> None:
    for name in section:
        if not isinstance(name, str):
            raise ConfigError(f"{place.prefix(source)}the key {shown(name)} is not text; write it in quotes")
        if len(name) > 4096:
            raise ConfigError(f"{place.prefix(source)}a key of {len(name)} characters: {shown(name)}")


def _check_scalar(value: Any, place: _Place, source: str) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{place.prefix(source)}{value} is not a finite number")
    elif not isinstance(value, int):
        kind = type(value).__name__
        raise ConfigError(
            f"{place.prefix(source)}{shown(value)} is read as a {kind}; write text in quotes, or a number"
        )
    elif abs(value) > _LARGEST_INTEGER:
        raise ConfigError(f"{place.prefix(source)}{shown(value)} is too large a number")


def _too_deep() -> str:
    return f"sections or lists are nested more than {MAX_DEPTH} deep"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, whose errors name the line, with a limit on what merging (`<<`) unfolds."""

    _merged = 0

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct one value."""
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        # Whatever Python's own conversions raise, such as ValueError for the 31st of February.
        except Exception as error:
            _refuse(node, f"{node.tag.rpartition(':')[2]} that cannot be converted ({error})")

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings that a mapping names."""
        super().flatten_mapping(node)
        self._merged += len(node.value)
        if self._merged > _MOST_YAML_VALUES:
            _refuse(node, f"more than {_MOST_YAML_VALUES} values")


def _refuse(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
