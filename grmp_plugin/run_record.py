"""What produced a result, kept with every result so that a number can be traced and repeated."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grmp_plugin.versions import package_versions


@dataclass(frozen=True)
class RunRecord:
    """One run of `score`, `adapt`, `compare` or `pretrain`.

    Attributes:
        command: Which of them.
        date: Local time of the start, ISO 8601 with the offset from UTC.
        device: Device of the computation, such as `cpu` or `cuda:0`.
        seed: Random seed; None where nothing is random.
        seconds: Wall-clock time.
        details: Inputs, model and settings of this command, as plain data.
        versions: Versions of Python and of the packages that decide a number.
    """

    command: str
    date: str
    device: str
    seed: int | None
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=package_versions)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the details beside the rest."""
        return {
            "command": self.command,
            "date": self.date,
            **self.details,
            "device": self.device,
            "seed": self.seed,
            "seconds": self.seconds,
            "versions": dict(self.versions),
        }


class Stopwatch:
    """Date and duration for a `RunRecord`; starts when it is made."""

    def __init__(self) -> None:
        self.date = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start, to the millisecond."""
        return round(time.monotonic() - self._started, 3)
