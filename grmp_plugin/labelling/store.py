"""The session of the raters, in SQLite: every vote is on disk before the next picture is shown."""

import json
import math
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grmp_plugin.errors import InputError
from grmp_plugin.labelling.plan import PRACTICE, RATE, REPEAT, Task, plan
from grmp_plugin.labelling.votes import Vote, Window

_FORMAT = 1  # of the file
_NO_SESSION = "not a rating session; move it away to begin a new one"
_SECRET_BYTES = 18
_WAIT = 30.0  # seconds for another thread's transaction

_TABLES = """
CREATE TABLE session (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE picture (
    number INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, practice INTEGER NOT NULL, batch INTEGER NOT NULL
);
CREATE TABLE rater (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE, token TEXT NOT NULL UNIQUE
);
CREATE TABLE task (
    number INTEGER PRIMARY KEY, rater INTEGER NOT NULL REFERENCES rater, place INTEGER NOT NULL,
    kind TEXT NOT NULL, left_picture INTEGER NOT NULL REFERENCES picture,
    right_picture INTEGER REFERENCES picture, UNIQUE (rater, place)
);
CREATE TABLE vote (
    number INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES task, value INTEGER, seconds REAL NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, pixel_ratio REAL NOT NULL, time TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
-- Queries that say "undone = 0" use it, too.
CREATE UNIQUE INDEX one_vote_per_task ON vote (task) WHERE undone = 0;
"""


@dataclass(frozen=True)
class Rater:
    """Who rates.

    Attributes:
        number: From 1.
        name: As entered.
        token: Secret by which the rater's page is recognised.
    """

    number: int
    name: str
    token: str


@dataclass(frozen=True)
class State:
    """Where a rater stands.

    Attributes:
        task: Number of the task to do; None when all are done.
        practice: Whether its vote does not count.
        following: Number of the task after it, to load its pictures ahead.
        sides: Pictures per task, 1 or 2.
        done: Tasks done.
        total: Tasks in all.
        can_undo: Whether there is a vote to take back.
    """

    task: int | None
    practice: bool
    following: int | None
    sides: int
    done: int
    total: int
    can_undo: bool


def _facts(stored: Mapping[str, str]) -> tuple[bool, int, str, int]:
    """Whether pairs are compared, seed, secret and port of a session, from its texts.

    Raises:
        KeyError, ValueError, TypeError: When the texts are not those of a session.
    """
    pairs, seed, secret, port = (json.loads(stored[name]) for name in ("pairs", "seed", "secret", "port"))
    right = (
        isinstance(pairs, bool)
        and (type(seed) is int and seed >= 0)
        and (isinstance(secret, str) and re.fullmatch(r"[\w-]{16,}", secret, re.ASCII) is not None)
        and (type(port) is int and 0 <= port < 1 << 16)
    )
    if not right:
        raise ValueError("values of other types")
    return pairs, seed, secret, port


class Store:
    """The session in a file; safe to use from several threads.

    Args:
        path: An existing file of a session; `create` makes one.

    Raises:
        InputError: When the file is no session of this version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():  # a pipe would never answer
            raise InputError(f"{self.path}: not a file; move it away to begin a new session")
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(self.path, timeout=_WAIT, check_same_thread=False)
        self._connection.isolation_level = None  # transactions are begun by hand
        try:
            stored = dict(self._connection.execute("SELECT name, value FROM session"))
            if json.loads(stored["format"]) != _FORMAT:
                raise InputError(f"{self.path}: a rating session of another version of this package")
            self.pairs, self.seed, self.secret, self.port = _facts(stored)
            self._check_content()
        except InputError:
            self.close()
            raise
        except (sqlite3.DatabaseError, KeyError, ValueError, TypeError, RecursionError) as error:
            self.close()
            raise InputError(f"{self.path}: {_NO_SESSION}") from error

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        pictures: Sequence[str],
        practice: Sequence[str],
        *,
        pairs: bool,
        seed: int,
    ) -> "Store":
        """Begin a session in a new file.

        Args:
            path: The file; there must be none.
            pictures: Paths of the pictures to judge.
            practice: Paths of pictures for practice, which may be among them.
            pairs: Whether pictures are compared in pairs.
            seed: Seed of the raters' orders.
        """
        facts: dict[str, Any] = {"format": _FORMAT, "pairs": pairs, "seed": seed, "port": 0}
        facts["secret"] = secrets.token_urlsafe(_SECRET_BYTES)
        # The secret in it is for this user and those who are given the address.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path)
        try:
            connection.executescript(_TABLES)
            with connection:
                rows = [(name, json.dumps(value)) for name, value in facts.items()]
                connection.executemany("INSERT INTO session VALUES (?, ?)", rows)
                everything = dict.fromkeys([*pictures, *practice])
                connection.executemany(
                    "INSERT INTO picture (path, practice, batch) VALUES (?, ?, ?)",
                    [
                        (os.fsencode(os.path.abspath(each)), each in practice, 0 if each in pictures else -1)
                        for each in everything
                    ],
                )
        finally:
            connection.close()
        return cls(path)

    def _check_content(self) -> None:
        """Raise ValueError or TypeError where a file that is damaged or was changed cannot be used."""
        damage = self._read("PRAGMA integrity_check(1)") + self._read("PRAGMA foreign_key_check")
        if damage != [("ok",)] or not self.pictures():
            raise ValueError(f"damaged: {damage[:1]}")
        names = [text for rater in self.raters() for text in (rater.name, rater.token)]
        for vote in self.votes():
            numbers = (vote.seconds, *vote.window, *([] if vote.value is None else [vote.value]))
            if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
                raise ValueError("a vote without numbers")
            names += [vote.rater, vote.time]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a name that is no text")

    def close(self) -> None:
        """Close the file, when no other thread is reading or writing it; later uses are errors."""
        with self._lock:
            self._connection.close()

    def remember_port(self, port: int) -> None:
        """Remember where the page is served, so that an open page finds a server that is started again."""
        with self._writing() as connection:
            connection.execute("UPDATE session SET value = ? WHERE name = 'port'", [json.dumps(port)])
        self.port = port

    def pictures(self) -> dict[int, str]:
        """Paths of the pictures to judge, by number."""
        rows = self._read("SELECT number, path FROM picture WHERE batch >= 0 ORDER BY number")
        return {number: os.fsdecode(path) for number, path in rows}

    def add_pictures(self, paths: Sequence[str]) -> None:
        """Add pictures to judge, for the raters who have begun as well; known ones are not added again."""
        known = set(self.pictures().values())
        new = [path for path in map(os.path.abspath, paths) if path not in known]
        with self._writing() as connection:
            (batch,) = connection.execute("SELECT max(batch) + 1 FROM picture").fetchone()
            for path in new:
                connection.execute(
                    "INSERT INTO picture (path, practice, batch) VALUES (?, 0, ?) "
                    "ON CONFLICT (path) DO UPDATE SET batch = excluded.batch",
                    [os.fsencode(path), batch],
                )
            added = connection.execute("SELECT number FROM picture WHERE batch = ?", [batch]).fetchall()
            for (rater,) in connection.execute("SELECT number FROM rater").fetchall():
                self._add_tasks(connection, rater, [number for (number,) in added], [], batch)

    def enter(self, name: str) -> Rater | None:
        """Take in a new rater; None if there is one of this name."""
        with self._writing() as connection:
            new = connection.execute(
                "INSERT INTO rater (name, folded, token) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [name, name.casefold(), token := secrets.token_urlsafe(_SECRET_BYTES)],
            )
            if not new.rowcount:
                return None
            rater = Rater(int(new.lastrowid or 0), name, token)
            pictures = connection.execute(
                "SELECT number, practice, batch FROM picture ORDER BY number"
            ).fetchall()
            self._add_tasks(
                connection,
                rater.number,
                [number for number, _, batch in pictures if batch >= 0],
                [number for number, practice, _ in pictures if practice],
                0,
            )
        return rater

    def rater(self, *, name: str | None = None, token: str | None = None) -> Rater | None:
        """The rater of a name or of a token."""
        rows = self._read(
            "SELECT number, name, token FROM rater WHERE folded = ? OR token = ?",
            "" if name is None else name.casefold(),
            token or "",
        )
        return Rater(*rows[0]) if rows else None

    def raters(self) -> list[Rater]:
        """All raters, in the order in which they came."""
        return [Rater(*row) for row in self._read("SELECT number, name, token FROM rater ORDER BY number")]

    def state(self, rater: Rater) -> State:
        """Where a rater stands."""
        with self._lock:
            total, done = self._read(
                "SELECT count(*), count(vote.number) FROM task "
                "LEFT JOIN vote ON vote.task = task.number AND undone = 0 WHERE rater = ?",
                rater.number,
            )[0]
            ahead = self._read(
                "SELECT task.number, kind FROM task LEFT JOIN vote ON vote.task = task.number AND undone = 0 "
                "WHERE rater = ? AND vote.number IS NULL ORDER BY place LIMIT 2",
                rater.number,
            )
        return State(
            task=ahead[0][0] if ahead else None,
            practice=bool(ahead) and ahead[0][1] == PRACTICE,
            following=ahead[1][0] if len(ahead) > 1 else None,
            sides=2 if self.pairs else 1,
            done=done,
            total=total,
            can_undo=done > 0,
        )

    def vote(self, rater: Rater, task: int, value: int | None, seconds: float, window: Window) -> bool:
        """Record a vote; a vote that was recorded before stays as it is.

        Args:
            rater: Who votes.
            task: Number of the rater's task; the next one to do, or one that is done.
            value: The vote; None for "cannot judge".
            seconds: Time that it took.
            window: What the picture was shown in.

        Returns:
            Whether the task is recorded now; False where it is not this rater's turn.
        """
        with self._writing() as connection:
            state = self.state(rater)
            if task != state.task:
                done = connection.execute(
                    "SELECT 1 FROM vote JOIN task ON task.number = vote.task "
                    "WHERE task = ? AND rater = ? AND undone = 0",
                    [task, rater.number],
                ).fetchone()
                return done is not None
            connection.execute(
                "INSERT INTO vote (task, value, seconds, width, height, pixel_ratio, time) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [task, value, seconds, *window, time.strftime("%Y-%m-%dT%H:%M:%S%z")],
            )
        return True

    def undo(self, rater: Rater) -> None:
        """Take back the rater's last vote; it stays in the file, marked."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE vote SET undone = 1 WHERE number = (SELECT max(vote.number) FROM vote "
                "JOIN task ON task.number = vote.task WHERE rater = ? AND undone = 0)",
                [rater.number],
            )

    def picture_of(self, rater: Rater, task: int, side: int) -> str | None:
        """Path of a picture of a rater's task: side 0, or 1 of a pair; None if there is none."""
        column = {0: "left_picture", 1: "right_picture"}.get(side)
        rows = column and self._read(
            f"SELECT path FROM task JOIN picture ON picture.number = {column} "
            "WHERE task.number = ? AND rater = ?",
            task,
            rater.number,
        )
        return os.fsdecode(rows[0][0]) if rows else None

    def votes(self) -> list[Vote]:
        """All votes that count, without practice, in the order in which they were cast."""
        rows = self._read(
            "SELECT a.path, b.path, rater.name, value, seconds, width, height, pixel_ratio, time, kind "
            "FROM vote JOIN task ON task.number = vote.task JOIN rater ON rater.number = task.rater "
            "JOIN picture AS a ON a.number = left_picture LEFT JOIN picture AS b ON b.number = right_picture "
            f"WHERE undone = 0 AND kind IN ('{RATE}', '{REPEAT}') ORDER BY vote.number"
        )
        return [
            Vote(
                image=os.fsdecode(left),
                other=None if right is None else os.fsdecode(right),
                rater=name,
                value=value,
                seconds=seconds,
                window=Window(width, height, ratio),
                time=when,
                repeat=kind == REPEAT,
            )
            for left, right, name, value, seconds, width, height, ratio, when, kind in rows
        ]

    def _add_tasks(
        self,
        connection: sqlite3.Connection,
        rater: int,
        pictures: Sequence[int],
        practice: Sequence[int],
        batch: int,
    ) -> None:
        # Pairs connect new pictures with old ones only if both are in the plan.
        shown = sorted({*pictures, *(self.pictures() if self.pairs else ())})
        chance = np.random.default_rng([self.seed, rater, batch])
        tasks: list[Task] = plan(shown if self.pairs else pictures, practice, pairs=self.pairs, chance=chance)
        (begin,) = connection.execute(
            "SELECT coalesce(max(place) + 1, 0) FROM task WHERE rater = ?", [rater]
        ).fetchone()
        connection.executemany(
            "INSERT INTO task (rater, place, kind, left_picture, right_picture) VALUES (?, ?, ?, ?, ?)",
            [(rater, begin + at, task.kind, task.left, task.right) for at, task in enumerate(tasks)],
        )

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.ProgrammingError:  # closed by another thread
                raise
            except sqlite3.DatabaseError as error:
                raise InputError(f"{self.path}: {_NO_SESSION} ({error})") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which is on disk when the block ends."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
