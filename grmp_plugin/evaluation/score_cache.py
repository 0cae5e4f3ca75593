"""Scores kept on disk: one for each metric and content of an image."""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmp_plugin.files import user_cache

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, score REAL NOT NULL, seconds REAL NOT NULL)"
)
_WAIT = 10.0  # seconds, for another run that is writing
_TOGETHER = 500  # keys asked for at a time


@dataclass(frozen=True)
class KeptScore:
    """A score, and the seconds that it took to compute."""

    score: float
    seconds: float


class ScoreCache:
    """Scores by what they depend on. One that cannot be opened or written to is empty and stays so.

    Args:
        path: of the file; by default in the user's cache.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_cache() / "scores-1.sqlite"
        self.problem: str | None = None
        """What is wrong with the cache; None where nothing is."""
        self._connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except sqlite3.OperationalError as error:
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._start_anew(error)
        except OSError as error:
            self._give_up(error)

    def find(self, keys: Iterable[str]) -> dict[str, KeptScore]:
        """The scores that are kept for some keys."""
        found: dict[str, KeptScore] = {}
        remaining = list(dict.fromkeys(keys))
        while remaining and self._connection is not None:
            some, remaining = remaining[:_TOGETHER], remaining[_TOGETHER:]
            marks = ",".join("?" * len(some))
            with self._giving_up() as connection:
                rows = connection.execute(
                    f"SELECT key, score, seconds FROM scores WHERE key IN ({marks})", some
                )
                found |= {key: KeptScore(score, seconds) for key, score, seconds in rows}
        return found

    def keep(self, scores: Mapping[str, KeptScore]) -> None:
        """Keep some scores; all of them or, if the program dies, none."""
        if self._connection is None or not scores:
            return
        with self._giving_up() as connection, connection:
            connection.executemany(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?)",
                [(key, kept.score, kept.seconds) for key, kept in scores.items()],
            )

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> None:
        self._connection = sqlite3.connect(self.path, timeout=_WAIT)
        with self._connection:
            self._connection.execute(_SCHEMA)

    def _start_anew(self, error: sqlite3.DatabaseError) -> None:
        """Put a damaged file aside."""
        self.close()
        aside = self.path.with_suffix(".damaged")
        try:
            self.path.replace(aside)
            self._open()
        except (OSError, sqlite3.Error) as second:
            self._give_up(second)
            return
        self.problem = f"the scores kept so far were damaged ({error}), and are now in {aside}"

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[sqlite3.Connection]:
        assert self._connection is not None
        try:
            yield self._connection
        except sqlite3.OperationalError as error:
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._start_anew(error)

    def _give_up(self, error: Exception) -> None:
        self.problem = f"scores are not kept: {self.path}: {error}"
        self.close()


def cache_key(identity: Mapping[str, Any], image: str, reference: str | None) -> str:
    """The key of a score.

    Args:
        identity: all that the metric's scores depend on, as JSON has it.
        image: digest of the image file.
        reference: digest of the reference file, where there is one.
    """
    content = json.dumps([identity, image, reference], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
