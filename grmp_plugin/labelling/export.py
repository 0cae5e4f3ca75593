"""The files that grow as people rate: single ratings, and the MOS of each picture."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from grmp_plugin.labelling.store import Store
from grmp_plugin.labelling.votes import Vote
from grmp_plugin.tables import csv_text, write_text

_RATINGS = ("image", "rater", "rating", "seconds", "repeat")
_PAIRS = ("left", "right", "rater", "better", "seconds", "repeat")
_MOS = ("image", "mos", "std", "n", "low", "high")
_BETTER = {-1: "left", 0: "same", 1: "right"}
_LEVEL = 0.95


def session_file(out: str | os.PathLike[str]) -> Path:
    """The file of the session beside that of the ratings."""
    return Path(out).with_suffix(".session.sqlite")


def mos_file(out: str | os.PathLike[str]) -> Path:
    """The file of mean opinion scores beside that of the ratings."""
    return Path(out).with_suffix(".mos.csv")


def export(store: Store, out: Path) -> None:
    """Write the ratings, and the MOS of single pictures; each file is replaced at once.

    Raises:
        GRMPError: When a file cannot be written.
    """
    votes = [vote for vote in store.votes() if vote.value is not None]
    folder = os.path.dirname(os.path.abspath(out))
    if store.pairs:
        write_text(out, csv_text((_pair_row(vote, folder) for vote in votes), _PAIRS))
        return
    write_text(out, csv_text((_rating_row(vote, folder) for vote in votes), _RATINGS))
    write_text(mos_file(out), csv_text(mos_rows(votes, folder), _MOS))


def mos_rows(votes: Sequence[Vote], folder: str) -> list[dict[str, Any]]:
    """Mean opinion score of each picture, over one mean rating per rater.

    Args:
        votes: Votes on single pictures.
        folder: Folder that names are relative to.

    Returns:
        Rows with the image, `mos`, `std` between raters, `n` raters, and the ends `low` and `high` of the
        95% interval by Student's t; None where a single rater determines none.
    """
    by_image: dict[str, dict[str, list[int]]] = {}
    for vote in votes:
        if vote.value is not None:
            by_image.setdefault(vote.image, {}).setdefault(vote.rater, []).append(vote.value)
    rows = []
    for image, by_rater in by_image.items():
        means = np.array([np.mean(values) for values in by_rater.values()])
        row: dict[str, Any] = {"image": _name(image, folder), "mos": round(float(means.mean()), 4)}
        row |= {"std": None, "n": len(means), "low": None, "high": None}
        if len(means) > 1:
            deviation = float(means.std(ddof=1))
            half = float(stdtrit(len(means) - 1, (1 + _LEVEL) / 2)) * deviation / len(means) ** 0.5
            row |= {"std": round(deviation, 4)}
            row |= {"low": round(row["mos"] - half, 4), "high": round(row["mos"] + half, 4)}
        rows.append(row)
    return rows


class Exporter:
    """Writes the files in a thread of its own: soon after a vote, but not once for each.

    Args:
        store: The session.
        out: File of the ratings.
    """

    def __init__(self, store: Store, out: Path) -> None:
        self._store, self._out = store, out
        self._changed, self._stopping = threading.Event(), False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="grmp-label-export", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Say that there is a new vote."""
        self._changed.set()

    def close(self) -> None:
        """Write the last state, and end."""
        self._stopping = True
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            try:
                export(self._store, self._out)
                self.error = None
            except Exception as error:  # the votes are safe in the session; the next one tries again
                self.error = error
            if self._stopping:
                return


def _rating_row(vote: Vote, folder: str) -> dict[str, Any]:
    return {
        "image": _name(vote.image, folder),
        "rater": vote.rater,
        "rating": vote.value,
        "seconds": round(vote.seconds, 2),
        "repeat": int(vote.repeat),
    }


def _pair_row(vote: Vote, folder: str) -> dict[str, Any]:
    return {
        "left": _name(vote.image, folder),
        "right": _name(vote.other or "", folder),
        "rater": vote.rater,
        "better": _BETTER[vote.value or 0],
        "seconds": round(vote.seconds, 2),
        "repeat": int(vote.repeat),
    }


def _name(path: str, folder: str) -> str:
    """A path relative to the folder of the ratings, as readers of the file take it."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # another drive
        return path
