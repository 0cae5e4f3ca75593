"""Rows of a benchmark: one small file each in a folder that processes and machines can share."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmp_plugin.benchmarking.plan import FORMAT, digest_of
from grmp_plugin.errors import ConfigError, GRMPError
from grmp_plugin.files import atomic_write
from grmp_plugin.plain_data import read_json
from grmp_plugin.tables import json_text

FOLDER = "rows"


@dataclass(frozen=True)
class BenchmarkRow:
    """One method on one draw.

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
        """Seed of the draw."""
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
        plain = read_json(file.read_text(encoding="utf-8"), str(file))
        values = {name: plain[name] for name in BenchmarkRow.__dataclass_fields__}
        numbers = {name: _number(values[name]) for name in ("srcc", "plcc", "krcc", "seconds")}
        row = BenchmarkRow(**{**values, **numbers})
        if digest_of(row.identity) != file.stem:
            raise ValueError("its name does not fit its content")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise GRMPError(
            f"{file} is no row of a benchmark ({error}); remove it, and run the benchmark again"
        ) from error
    return row


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{json.dumps(value)} is no number")
    return float(value)
