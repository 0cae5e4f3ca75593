"""Scores from comparisons in pairs: Bradley and Terry's model, fitted by the package choix."""

import math
from collections.abc import Sequence

import numpy as np

from grmp_plugin.labelling.opinions import Comparisons
from grmp_plugin.labelling.recovery import FEW_RATERS, RaterFacts, Recovery, few_raters

# Each image also counts as even with all others, in half a comparison altogether: without that, an image that
# always won would have no finite score.
_EVEN = 0.5
_ROUNDS = 10_000  # most iterations
_NORMAL_95 = 1.959964


def recover_pairs(comparisons: Comparisons) -> Recovery:
    """Scores of images on the scale of the Bradley-Terry model, in logits, with mean 0; see `Recovery`.

    A score higher by 1 wins three of four comparisons, nearly: 1 / (1 + exp(-1)) = 73%. "Same" counts as half
    a win of each. Raters who contradict the others' scores are screened out if at least three others remain.
    """
    people = range(len(comparisons.raters))
    agreement = [_agreement(comparisons, rater, list(people)) for rater in people]
    used = list(people)
    reasons = [""] * len(agreement)
    for rater in np.argsort(agreement):
        others = [each for each in used if each != rater]
        share = _agreement(comparisons, int(rater), others)
        if share < 0.5 and len(others) >= FEW_RATERS:
            reasons[rater] = f"contradicts the others (agrees in {100 * share:.0f}% of the pairs)"
            used = others
    mine = np.isin(comparisons.by, used)
    scores, error = fit(comparisons, mine)
    appearances = [
        len(set(comparisons.by[mine & ((comparisons.left == at) | (comparisons.right == at))].tolist()))
        for at in range(len(comparisons.images))
    ]
    facts = tuple(
        _facts(comparisons, rater, _agreement(comparisons, rater, used), reasons[rater]) for rater in people
    )
    return Recovery(
        images=comparisons.images,
        mos=scores,
        std=np.full(len(scores), math.nan),
        n=np.array(appearances, np.int64),
        low=scores - _NORMAL_95 * error,
        high=scores + _NORMAL_95 * error,
        raters=facts,
        method="Bradley-Terry model of the pairs, in logits",
        remarks=_remarks(comparisons, facts),
    )


def fit(comparisons: Comparisons, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (J,) with mean 0 and their standard errors, from the comparisons that are used, (N,) bool."""
    import choix

    left, right, won = comparisons.left[used], comparisons.right[used], comparisons.won[used]
    count = len(comparisons.images)
    wins = np.full((count, count), _EVEN / 2 / max(count - 1, 1))
    np.fill_diagonal(wins, 0)
    np.add.at(wins, (left, right), won)
    np.add.at(wins, (right, left), 1 - won)
    scores = np.asarray(choix.ilsr_pairwise_dense(wins, max_iter=_ROUNDS))
    scores = scores - scores.mean()
    chance = 1 / (1 + np.exp(scores[None] - scores[:, None]))
    weight = (wins + wins.T) * chance * (1 - chance)
    information = np.diag(weight.sum(axis=1)) - weight
    # Scores are known up to a constant: of mean 0, their covariance is the pseudo-inverse.
    return scores, np.sqrt(np.diag(np.linalg.pinv(information)))


def _agreement(comparisons: Comparisons, rater: int, others: Sequence[int]) -> float:
    """Share of a rater's decided pairs in which the others' scores say the same; nan without any."""
    of_others = np.isin(comparisons.by, [each for each in others if each != rater])
    own = (comparisons.by == rater) & (comparisons.won != 0.5)
    if not of_others.any() or not own.any():
        return math.nan
    scores, _ = fit(comparisons, of_others)
    ahead = scores[comparisons.left[own]] > scores[comparisons.right[own]]
    return float((ahead == (comparisons.won[own] == 1)).mean())


def _facts(comparisons: Comparisons, rater: int, agreement: float, screened: str) -> RaterFacts:
    own = comparisons.by == rater
    first = {
        (int(comparisons.left[at]), int(comparisons.right[at])): comparisons.won[at]
        for at in np.flatnonzero(own & ~comparisons.repeat)
    }
    differences = [
        abs(comparisons.won[at] - first[pair])
        for at in np.flatnonzero(own & comparisons.repeat)
        if (pair := (int(comparisons.left[at]), int(comparisons.right[at]))) in first
    ]
    return RaterFacts(
        rater=comparisons.raters[rater],
        votes=int(own.sum()),
        bias=float(comparisons.won[own].mean() - 0.5),
        inconsistency=math.nan,
        repeated=len(differences),
        repeat_difference=float(np.mean(differences)) if differences else math.nan,
        correlation=agreement,
        seconds=float(comparisons.seconds[rater]),
        screened=screened,
    )


def _remarks(comparisons: Comparisons, facts: Sequence[RaterFacts]) -> tuple[str, ...]:
    remarks = few_raters(len(facts))
    if (comparisons.won == 0.5).all():
        remarks.append(
            'All answers are "same", so nothing can be learned: compare pictures of different quality'
        )
    for one in facts:
        if one.screened:
            remarks.append(f"{one.rater} is left out: {one.screened}")
        elif one.correlation < 0.5:
            remarks.append(
                f"{one.rater} agrees with the others in only {100 * one.correlation:.0f}% of the pairs"
            )
    return tuple(remarks)
