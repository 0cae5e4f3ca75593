"""Mean opinion scores from single ratings: `recover_mos`."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from grmp_plugin.api.recovered import RecoveredMos
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.run_record import RunRecord, Stopwatch

if TYPE_CHECKING:
    import pandas

_NEEDED = ("sureal", "choix")


def recover_mos(ratings: "str | os.PathLike[str] | pandas.DataFrame") -> RecoveredMos:
    """MOS of pictures from single ratings or from pairs, with intervals, and what became of the raters.

    Raters who contradict the others are left out if at least three others remain, and from twelve raters on
    those whom ITU-R BT.500 rejects. From ten raters on, MOS is the maximum likelihood of ITU-T P.910's
    subject model; below, the mean without raters' biases (ITU-T P.913, 12.4). Pairs are fitted by the
    Bradley-Terry model.

    Args:
        ratings: What `label` wrote: a file or data frame with the columns image, rater and rating, and
            perhaps seconds and repeat; or left, right, rater and better (left, same or right).

    Returns:
        One row per picture; `raters`, `method` and `remarks` beside it.

    Raises:
        InputError: When the file cannot be read, or a column or a value is wrong.
        GRMPError: When the extra `label` is not installed.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise GRMPError("recovery of MOS needs sureal and choix: pip install 'grmp-iqa[label]'")
    from grmp_plugin.labelling.opinions import Comparisons, read_opinions
    from grmp_plugin.labelling.pairwise import recover_pairs
    from grmp_plugin.labelling.recovery import recover

    watch = Stopwatch()
    source = os.fspath(ratings) if isinstance(ratings, str | os.PathLike) else "data frame"
    opinions = read_opinions(ratings)
    found = recover_pairs(opinions) if isinstance(opinions, Comparisons) else recover(opinions)
    if not len(found.images):
        raise InputError(f"{source}: no ratings")
    details = {
        "ratings": source,
        "method": found.method,
        "images": len(found.images),
        "raters": len(found.raters),
        "votes": sum(rater.votes for rater in found.raters),
    }
    folder = os.path.dirname(source) if source != "data frame" else ""
    run = RunRecord("recover_mos", watch.date, "cpu", seed=None, seconds=watch.seconds, details=details)
    return RecoveredMos(run=run, pairs=isinstance(opinions, Comparisons), folder=folder, recovery=found)
