"""Rows of a benchmark: one small file each in a folder that processes and machines can share."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from grmp_plugin.benchmarking.plan import FORMAT, Shots, digest_of
from grmp_plugin.errors import ConfigError, GRMPError, InputError
from grmp_plugin.files import atomic_write
from grmp_plugin.plain_data import read_json_file, shown
from grmp_plugin.tables import json_text

FOLDER = "rows"

_CORRELATIONS = ("srcc", "plcc", "krcc")
_COUNTED = ("learned", "images", "seconds", "seed")
_LONGEST, _LARGEST = 4096, 1e12  # characters; numbers of anything
_NUMBER, _TEXT = (int, float), (str,)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "identity": (dict,),
    "data": _TEXT,
    "tested": (*_TEXT, NoneType),
    "model": _TEXT,
    "learned": (int,),
    "images": (int,),
    **dict.fromkeys(_CORRELATIONS, (*_NUMBER, NoneType)),
    "seconds": _NUMBER,
    "chosen": (*_TEXT, NoneType),
    "record": (dict,),
}
_IDENTITY: Mapping[str, tuple[type, ...]] = {
    "data_sha256": _TEXT,
    "tested_sha256": (*_TEXT, NoneType),
    "model_sha256": _TEXT,
    "shots": _TEXT,
    "seed": (int,),
    "include_learned": (bool,),
    "method": _TEXT,
    "lambda": (*_NUMBER, NoneType),
    "fixed": (bool,),
    "settings": (dict,),
}


@dataclass(frozen=True)
class BenchmarkRow:
    """One method on one split.

    Attributes:
        identity: What decides the numbers; see `identity_of`.
        data: Name of the data set that was learned from.
        tested: Name of the data set that was tested on; None: the rest of the same.
        model: Name of the start.
        learned: Number of shots; 0 for a method that learns nothing.
        images: Number of test images.
        srcc: Spearman's rank correlation with the test ratings, higher is better; NaN if undefined.
        plcc: Pearson's, without a fitted curve.
        krcc: Kendall's.
        seconds: Time that it took; what rows share counts for the first.
        chosen: What `auto` chose; None for other methods.
        record: Date, device and package versions.
    """

    identity: Mapping[str, Any]
    data: str
    tested: str | None
    model: str
    learned: int
    images: int
    srcc: float
    plcc: float
    krcc: float
    seconds: float
    chosen: str | None
    record: Mapping[str, Any]

    @property
    def method(self) -> str:
        """Name of the method or metric."""
        return str(self.identity["method"])

    @property
    def strength(self) -> float | None:
        """Lambda; None where there is none."""
        value = self.identity["lambda"]
        return None if value is None else float(value)

    @property
    def shots(self) -> str:
        """Number of shots, or their share."""
        return str(self.identity["shots"])

    @property
    def seed(self) -> int:
        """Seed of the split."""
        return int(self.identity["seed"])


class RowFolder:
    """The rows in a benchmark's folder, by what decides them.

    Args:
        out: Folder of the benchmark; created with the first row.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / FOLDER

    def has(self, identity: Mapping[str, Any]) -> bool:
        """Whether the row is done."""
        return self._file(identity).is_file()

    def write(self, row: BenchmarkRow) -> None:
        """Write a row; its file is complete or absent.

        Raises:
            GRMPError: When it cannot be written.
        """
        file = self._file(row.identity)
        plain = {name: getattr(row, name) for name in BenchmarkRow.__dataclass_fields__}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as temporary:
                temporary.write_text(json_text(plain) + "\n", encoding="utf-8")
        except OSError as error:
            raise GRMPError(f"{file}: {error.strerror or error}") from error

    def find(self, identities: Iterable[Mapping[str, Any]]) -> list[BenchmarkRow]:
        """Those of some rows that are done, in order."""
        return [_read(self._file(one)) for one in identities if self.has(one)]

    def all(self) -> list[BenchmarkRow]:
        """Every row of the present form, whoever made it.

        Raises:
            GRMPError: When a file cannot be read as a row.
        """
        found = [_read(file) for file in sorted(self.path.glob("*.json")) if not file.name.startswith(".")]
        return [row for row in found if row.identity.get("format") == FORMAT]

    def _file(self, identity: Mapping[str, Any]) -> Path:
        return self.path / f"{digest_of(identity)}.json"


def _read(file: Path) -> BenchmarkRow:
    try:
        plain = read_json_file(file)
        if not isinstance(plain, Mapping):
            raise ValueError(f"expected a section, found {shown(plain)}")
        for name in BenchmarkRow.__dataclass_fields__:
            if name not in plain:
                raise ValueError(f"the key '{name}' is missing")
        values = {name: plain[name] for name in BenchmarkRow.__dataclass_fields__}
        _check_types(values, _TYPES)
        if digest_of(values["identity"]) != file.stem:
            raise ValueError("its name does not fit its content")
        numbers = {name: _correlation(values[name], name) for name in _CORRELATIONS}
        row = BenchmarkRow(**{**values, **numbers})
        if row.identity.get("format") == FORMAT:
            _check_identity(row.identity)
            if (row.tested is None) != (row.identity["tested_sha256"] is None):
                raise ValueError("tested: a name without a digest, or a digest without a name")
    except (ValueError, InputError, ConfigError) as error:
        raise GRMPError(
            f"{file} is no row of a benchmark ({error}); remove it, and run the benchmark again"
        ) from error
    return row


def _check_identity(identity: Mapping[str, Any]) -> None:
    """Check what tables are made from; ValueError or InputError where it is of another type."""
    missing = [name for name in _IDENTITY if name not in identity]
    if missing:
        raise ValueError(f"identity: the key '{missing[0]}' is missing")
    _check_types(identity, _IDENTITY)
    Shots.parse(identity["shots"])
    _check_types(identity["settings"], dict.fromkeys(identity["settings"], (bool, int, float, str, NoneType)))


def _check_types(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    for name, known in types.items():
        value = values[name]
        if type(value) not in known:  # true is an integer to isinstance
            raise ValueError(f"{name}: {shown(value)}")
        if isinstance(value, str):
            value.encode("utf-8", "surrogateescape")  # names may have undecodable bytes
            if len(value) > _LONGEST:
                raise ValueError(f"{name}: a text of {len(value)} characters")
        elif isinstance(value, int | float) and name in _COUNTED and not 0 <= value <= _LARGEST:
            raise ValueError(f"{name}: {shown(value)}")


def _correlation(value: float | None, name: str) -> float:
    if value is None:
        return math.nan
    if abs(value) > 1 + 1e-6:  # rounding
        raise ValueError(f"{name}: {value} is no correlation")
    return float(value)
