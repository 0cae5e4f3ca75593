"""What produced a result, kept with the result so that it can be traced and reproduced."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grmp_plugin.versions import package_versions


@dataclass(frozen=True)
class RunRecord:
    """One run of `score`, `adapt`, `compare` or `pretrain`.

    Attributes:
        command: Name of the function.
        date: Local time of the start, ISO 8601 with the offset from UTC.
        device: Device of the computation, such as `cpu` or `cuda:0`.
        seed: Random seed; None where nothing is random.
        seconds: Wall-clock time.
        details: Inputs, model and settings of this command, as plain data.
        versions: Versions of Python and of the packages that determine a score.
    """

    command: str
    date: str
    device: str
    seed: int | None
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=package_versions)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the details at the top level."""
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
    """Date and duration for a `RunRecord`; starts when created."""

    def __init__(self) -> None:
        self.date = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start, to the millisecond."""
        return round(time.monotonic() - self._started, 3)
