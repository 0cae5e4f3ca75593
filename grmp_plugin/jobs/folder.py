"""The folder of a job: which shards it has, what they were started with, and who may write.

Beside the parts there is one `_shard-NUMBER-of-COUNT.json` for each shard that was started. Readers of data
sets pass over names that begin with `_` or `.`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grmp_plugin.config import from_dict
from grmp_plugin.errors import ConfigError, InputError
from grmp_plugin.files import durable_write, only_writer
from grmp_plugin.jobs.parts import Parts, check_part_names, of_names
from grmp_plugin.jobs.rows import DamagedPartError, read_part
from grmp_plugin.plain_data import MOST_FILE_BYTES, read_json_file
from grmp_plugin.shard import Shard
from grmp_plugin.tables import check_folder_path

_FORMAT = 1  # of the record of a shard
COMPLETE, INCOMPLETE, MISSING, DAMAGED = "complete", "not complete", "not started", "damaged"


@dataclass(frozen=True)
class ShardState:
    """How far one shard of a job is.

    Attributes:
        shard: Which one, from 0.
        state: `complete`, `not complete`, `not started` or `damaged`.
        images: Rows in its parts.
        failed: How many of these have no score.
    """

    shard: int
    state: str
    images: int
    failed: int


@dataclass(frozen=True)
class _Manifest:
    """The record of a shard, as it is in its file."""

    format: int
    shard: int
    shards: int
    complete: bool
    settings: dict[str, Any]
    run: dict[str, Any] | None

    def __post_init__(self) -> None:
        if self.format != _FORMAT:
            raise ConfigError(f"of format {self.format}, and this version of grmp-iqa reads {_FORMAT}")
        try:
            self.part()
        except InputError as error:
            raise ConfigError(error.message) from error

    def part(self) -> Shard:
        """Which shard it is of."""
        return Shard(self.shard, self.shards)


class JobFolder:
    """One shard of a job in its folder.

    Args:
        folder: Made if it does not exist.
        shard: Which shard.
        settings: What must be the same whenever the job goes on, as plain data.
    """

    def __init__(self, folder: Path, shard: Shard, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.parts = Parts(folder, shard)
        self.damaged: list[Path] = []
        self._shard = shard
        self._settings: Mapping[str, Any] = json.loads(json.dumps(settings))

    @contextmanager
    def writing(self, *, resume: bool) -> Iterator[Parts]:
        """Start the shard or go on with it; its parts are in order then.

        Args:
            resume: Go on where it was started before.

        Raises:
            InputError: When the folder holds something else, the shard was started and is not to be gone on
                with, it was started with other settings, or another process writes it.
        """
        self._check(resume)
        self.folder.mkdir(exist_ok=True)
        try:
            with only_writer(_manifest_path(self.folder, self._shard)):
                self._check(resume)
                self._record(complete=False, run=None)
                self.damaged = self.parts.recover()
                yield self.parts
        except BlockingIOError as error:
            raise InputError(
                f"another process is scoring into shard {self._shard.number} of {self.folder}; wait for its "
                "end",
                argument="out",
            ) from error

    def finish(self, run: Mapping[str, Any]) -> None:
        """Mark the shard as complete, with the record of the run that completed it."""
        self._record(complete=True, run=run)

    def _record(self, *, complete: bool, run: Mapping[str, Any] | None) -> None:
        shard = self._shard
        record = None if run is None else dict(run)
        content = _Manifest(_FORMAT, shard.number, shard.count, complete, dict(self._settings), record)
        text = json.dumps(asdict(content), indent=2) + "\n"
        if len(text) > MOST_FILE_BYTES:
            raise InputError("too many paths to remember; name them in a list (.txt)", argument="images")
        with durable_write(_manifest_path(self.folder, shard)) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _check(self, resume: bool) -> None:
        check_folder_path(self.folder, "out")
        found = _manifests(self.folder, "out")
        if not found and self.folder.exists() and any(not _is_hidden(path) for path in self.folder.iterdir()):
            raise InputError(
                f"{self.folder} holds other files; name a new or an empty folder", argument="out"
            )
        for other in found:
            self._check_same(other)
        check_part_names(self.folder, self._shard.count, "out")
        started = next((other for other in found if other.part() == self._shard), None)
        if started is not None and not resume:
            state = "is complete" if started.complete else "was started"
            which = f"shard {self._shard.number} of " if self._shard.count > 1 else ""
            raise InputError(
                f"{which}{self.folder} {state}. Name another folder, or continue this one, to score "
                "new and changed images only",
                argument="out",
                see=("resume",),
            )

    def _check_same(self, other: _Manifest) -> None:
        if other.shards != self._shard.count:
            raise InputError(
                f"{self.folder} was started with {other.shards} shards, not {self._shard.count}",
                argument="shard",
            )
        names = self._settings.keys() | other.settings.keys()
        for name in sorted(names):
            before, now = other.settings.get(name), self._settings.get(name)
            if before != now and not (name == "model" and self._has_weights_of(other)):
                raise InputError(
                    f"{self.folder} was started with {name} {_short(before)}, not {_short(now)}; name "
                    "another folder",
                    argument="out",
                )

    def _has_weights_of(self, other: _Manifest) -> bool:
        """Whether it is the same model, perhaps under another name."""
        return bool(self._settings["weights_sha256"] == other.settings.get("weights_sha256"))


def shard_states(folder: Path) -> list[ShardState]:
    """How far each shard of a job is; every part is read and checked.

    Raises:
        InputError: When the folder is not that of a job.
    """
    manifests = {one.shard: one for one in _manifests(folder, "folder")} if folder.is_dir() else {}
    if not manifests:
        raise InputError(
            f"{folder}: not a folder that scores were written into part by part", argument="folder"
        )
    count = max(one.shards for one in manifests.values())
    check_part_names(folder, count, "folder")
    return [_state(folder, Shard(number, count), manifests.get(number)) for number in range(count)]


def _state(folder: Path, shard: Shard, manifest: _Manifest | None) -> ShardState:
    if manifest is None:
        return ShardState(shard.number, MISSING, 0, 0)
    images = failed = 0
    state = COMPLETE if manifest.complete else INCOMPLETE
    for path in Parts(folder, shard).paths():
        try:
            rows, _ = read_part(path)
        except DamagedPartError:
            state = DAMAGED
            continue
        images += len(rows)
        failed += sum(row.error is not None for row in rows)
    recorded = (manifest.run or {}).get("images")
    if state == COMPLETE and recorded != images:  # a part is missing
        state = DAMAGED
    return ShardState(shard.number, state, images, failed)


def _manifests(folder: Path, argument: str) -> list[_Manifest]:
    found = []
    for path in sorted(folder.glob("_shard-*.json")):
        try:
            record = from_dict(_Manifest, read_json_file(path), str(path))
            if path != _manifest_path(folder, record.part()):
                raise ConfigError(f"{path}: it is called otherwise than the shard that it records")
        except ConfigError as error:
            raise InputError(
                f"{error.message}. It is not the record of a shard that this version wrote: put it back, or "
                "score into another folder",
                argument=argument,
            ) from error
        found.append(record)
    return found


def _manifest_path(folder: Path, shard: Shard) -> Path:
    return folder / f"_shard-{of_names(shard)}.json"


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
