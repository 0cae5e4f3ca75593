"""What a session says of its pictures while people are still rating."""

import numpy as np

from grmp_plugin.labelling.opinions import Comparisons
from grmp_plugin.labelling.store import Store
from grmp_plugin.labelling.votes import Vote


def ratings_so_far(store: Store) -> dict[str, float]:
    """Path -> rating so far, of the pictures that somebody has judged; higher is better.

    Of single ratings: their mean over one mean per rater. Of pairs: Bradley-Terry scores in logits.
    """
    votes = [vote for vote in store.votes() if vote.value is not None]
    return _of_pairs(votes) if store.pairs else _of_single_ratings(votes)


def _of_single_ratings(votes: list[Vote]) -> dict[str, float]:
    given: dict[str, dict[str, list[int]]] = {}
    for vote in votes:
        given.setdefault(vote.image, {}).setdefault(vote.rater, []).append(vote.value or 0)
    return {
        image: float(np.mean([np.mean(values) for values in by_rater.values()]))
        for image, by_rater in given.items()
    }


def _of_pairs(votes: list[Vote]) -> dict[str, float]:
    if not votes:
        return {}
    from grmp_plugin.labelling.pairwise import fit

    sides = [(vote.image, vote.other or "") for vote in votes]
    images = tuple(dict.fromkeys(path for pair in sides for path in pair))
    number = {path: at for at, path in enumerate(images)}
    nobody = np.zeros(len(votes), np.int64)
    comparisons = Comparisons(
        images=images,
        raters=("",),
        left=np.array([number[left] for left, _ in sides], np.int64),
        right=np.array([number[right] for _, right in sides], np.int64),
        won=np.array([(1 - (vote.value or 0)) / 2 for vote in votes]),
        by=nobody,
        repeat=nobody.astype(bool),
        seconds=np.full(1, np.nan),
    )
    scores, _ = fit(comparisons, np.ones(len(votes), bool))
    return dict(zip(images, scores.tolist(), strict=True))
