"""Progress of long-running work, reported to a callback; the library is silent by default."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grmp_plugin.errors import InputError
from grmp_plugin.plain_data import shown


@dataclass(frozen=True)
class Progress:
    """How far one stage of the work is.

    Attributes:
        stage: What is being done, such as "scoring" or "training".
        done: Units completed.
        total: Units in total.
        detail: Further information, such as losses; may be empty.
    """

    stage: str
    done: int
    total: int
    detail: str = ""


ProgressCallback = Callable[[Progress], None]


def progress_callback(progress: bool | ProgressCallback) -> ProgressCallback:
    """Return the function to call with each `Progress`.

    Args:
        progress: A function of your own, True for a bar (on stderr, or a widget in a notebook), or False.

    Raises:
        InputError: When it is something else.
    """
    if callable(progress):
        return progress
    if not isinstance(progress, bool):
        raise InputError(f"expected True, False or a function, not {shown(progress)}", argument="progress")
    return _Bar() if progress else _silent


def _silent(progress: Progress) -> None:
    pass


class _Bar:
    """One tqdm bar for each stage."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, progress: Progress) -> None:
        from tqdm.auto import tqdm

        if self._bar is None or progress.stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            self._bar, self._stage = tqdm(total=progress.total, desc=progress.stage), progress.stage
        self._bar.update(progress.done - self._bar.n)
        if progress.detail:
            self._bar.set_postfix_str(progress.detail, refresh=False)
        if progress.done >= progress.total:
            self._bar.close()
            self._bar = None
