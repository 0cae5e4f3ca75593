"""Scores kept on disk, one per metric and content of an image, and digests of decoded pixels."""

import contextlib
import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmp_plugin.files import user_cache

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, score REAL NOT NULL, seconds REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pixels (key TEXT PRIMARY KEY, sha256 TEXT NOT NULL)",
)
_WAIT = 10.0  # seconds, for another run that is writing
_KEYS_PER_QUERY = 500


@dataclass(frozen=True)
class KeptScore:
    """A score, and how many seconds it took to compute."""

    score: float
    seconds: float


class ScoreCache:
    """Scores by key. If the file cannot be opened or written, the cache stays empty.

    Args:
        path: SQLite file; by default in the user's cache folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_cache() / "scores-1.sqlite"
        self.problem: str | None = None
        """Why scores are not kept, or were lost; None if all is well."""
        self._connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except sqlite3.OperationalError as error:
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._replace_damaged(error)
        except OSError as error:
            self._give_up(error)

    def find(self, keys: Iterable[str]) -> dict[str, KeptScore]:
        """The scores that are known, by key."""
        rows = self._rows("SELECT key, score, seconds FROM scores", keys)
        # SQLite stores text in a column of numbers, too; such a row is computed again.
        return {
            key: KeptScore(score, seconds)
            for key, score, seconds in rows
            if _is_number(score) and _is_number(seconds)
        }

    def find_digests(self, keys: Iterable[str]) -> dict[str, str]:
        """The digests of pixels that are known, by key."""
        return {key: str(digest) for key, digest in self._rows("SELECT key, sha256 FROM pixels", keys)}

    def keep(self, scores: Mapping[str, KeptScore]) -> None:
        """Keep scores by key: all of them or, if the program is killed, none."""
        rows = [(key, kept.score, kept.seconds) for key, kept in scores.items()]
        self._insert("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)

    def keep_digests(self, digests: Mapping[str, str]) -> None:
        """Keep digests of pixels by key: all of them or, if the program is killed, none."""
        self._insert("INSERT OR REPLACE INTO pixels VALUES (?, ?)", list(digests.items()))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, query: str, keys: Iterable[str]) -> list[Any]:
        """Rows whose column `key` is one of the keys."""
        found: list[Any] = []
        remaining = list(dict.fromkeys(keys))
        while remaining and self._connection is not None:
            some, remaining = remaining[:_KEYS_PER_QUERY], remaining[_KEYS_PER_QUERY:]
            marks = ",".join("?" * len(some))
            with self._giving_up() as connection:
                found += connection.execute(f"{query} WHERE key IN ({marks})", some)
        return found

    def _insert(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if self._connection is None or not rows:
            return
        with self._giving_up() as connection, connection:
            connection.executemany(statement, rows)

    def _open(self) -> None:
        self._connection = sqlite3.connect(self.path, timeout=_WAIT)
        with self._connection:
            for statement in _SCHEMA:
                self._connection.execute(statement)

    def _replace_damaged(self, error: sqlite3.DatabaseError) -> None:
        """Rename a damaged file and start with an empty one."""
        self.close()
        aside = self.path.with_suffix(".damaged")
        try:
            self.path.replace(aside)
            self._open()
        except (OSError, sqlite3.Error) as second:
            self._give_up(second)
            return
        self.problem = f"the cache of scores was damaged ({error}); it was renamed to {aside}"

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[sqlite3.Connection]:
        assert self._connection is not None
        try:
            yield self._connection
        except sqlite3.OperationalError as error:
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._replace_damaged(error)

    def _give_up(self, error: Exception) -> None:
        self.problem = f"scores are not kept for the next run: {self.path}: {error}"
        self.close()


def _is_number(value: object) -> bool:
    return isinstance(value, float) and not math.isnan(value)


def cache_key(identity: Mapping[str, Any], image: str, reference: str | None) -> str:
    """The key of a score.

    Args:
        identity: What the metric's scores depend on, as JSON data.
        image: Digest of the image file.
        reference: Digest of the reference file, for a full-reference metric.
    """
    content = json.dumps([identity, image, reference], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
