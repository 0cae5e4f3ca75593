"""From single ratings to mean opinion scores: which raters to trust, and how sure the result is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from grmp_plugin.labelling.opinions import Opinions
from grmp_plugin.labelling.subject_models import Estimate, by_likelihood, screened_by_kurtosis, without_bias
from grmp_plugin.statistics.correlation import plcc

FEW_RATERS = 3
"""With fewer raters nobody can be screened, and intervals are wide."""

LEVEL = 0.95
"""Of all intervals."""

# The likelihood of P.910's model is unbounded where one rater's inconsistency goes to 0: MOS is then that
# rater's opinion. Simulated with 50 images, this happened to 3 raters in 40 of 40 cases, to 8 in 9 of 40, and
# to 15 in none.
_LEAST_FOR_LIKELIHOOD = 10
_COLLAPSED = 0.1  # inconsistency, steps of the scale

# BT.500 is for fifteen observers. Simulated with 50 images, it rejects 24% of honest raters where there are
# five, 4% of ten, 1% of twelve.
_LEAST_FOR_KURTOSIS = 12

_LEAST_COMMON = 10  # images that a correlation between raters needs


@dataclass(frozen=True)
class RaterFacts:
    """One rater.

    Attributes:
        rater: Name.
        votes: Number of ratings, with repeats.
        bias: How much higher they rate than the others, in steps of the scale; of pairs how much more often
            they choose the left one than half of the time. nan where unknown.
        inconsistency: Standard deviation of their ratings around MOS and bias; nan where unknown.
        repeated: Number of images rated again.
        repeat_difference: Mean absolute difference between first and repeated rating; nan without repeats.
        correlation: PLCC with the mean of the others; of pairs the share in which the others' scores agree;
            nan where undefined.
        seconds: Median time of a vote; nan where unknown.
        screened: Why their votes are not used; empty where they are.
    """

    rater: str
    votes: int
    bias: float
    inconsistency: float
    repeated: int
    repeat_difference: float
    correlation: float
    seconds: float
    screened: str = ""


@dataclass(frozen=True, eq=False)
class Recovery:
    """MOS of J images, and what became of the raters.

    Attributes:
        images: J names.
        mos: (J,).
        std: (J,) standard deviation between raters; nan for one rater.
        n: (J,) number of raters.
        low: (J,) lower end of the 95% interval; nan where unknown.
        high: (J,) upper end.
        raters: The raters.
        method: How MOS was computed, in words.
        remarks: What to know and to do, in sentences.
    """

    images: tuple[str, ...]
    mos: np.ndarray
    std: np.ndarray
    n: np.ndarray
    low: np.ndarray
    high: np.ndarray
    raters: tuple[RaterFacts, ...]
    method: str
    remarks: tuple[str, ...]


def recover(opinions: Opinions) -> Recovery:
    """MOS of images from single ratings; see `Recovery`.

    Raters who contradict the others are screened out if at least three others remain, and from twelve raters
    on those whom BT.500 rejects. From ten raters on, MOS is P.910's maximum likelihood; below, the mean
    without raters' biases.
    """
    ratings = _means(opinions)
    reasons = _screen(ratings)
    used = np.array([not reason for reason in reasons])
    kept = np.isfinite(ratings[:, used]).any(axis=1)
    shown = ratings[kept][:, used]
    estimate, method = _estimate(shown)
    count = np.isfinite(shown).sum(axis=1)
    half = _half_widths(estimate, count, method)
    facts = _facts(opinions, ratings, reasons, estimate, used)
    images = tuple(name for name, one in zip(opinions.images, kept, strict=True) if one)
    std = _deviations(shown, count)
    remarks = _remarks(ratings, facts, int((~kept).sum()))
    mos = estimate.mos
    return Recovery(images, mos, std, count, mos - half, mos + half, facts, method, remarks)


_BY_LIKELIHOOD = "maximum likelihood with raters' bias and inconsistency (ITU-T P.910, Annex E)"
_WITHOUT_BIAS = "mean without raters' bias (ITU-T P.913, 12.4)"
_PLAIN = "the one rater's ratings"


def _means(opinions: Opinions) -> np.ndarray:
    """One rating per image and rater, (J, I): the mean of first and repeated ones."""
    both = np.stack([opinions.first, opinions.again])
    counts = np.isfinite(both).sum(axis=0)
    return np.where(counts > 0, np.nansum(both, axis=0) / np.maximum(counts, 1), np.nan)


def _screen(ratings: np.ndarray) -> list[str]:
    """Why each rater is screened out, in words; empty for those who are not."""
    people = ratings.shape[1]
    reasons = [""] * people
    if people <= FEW_RATERS:
        return reasons
    correlations = np.array([correlation_with_others(ratings, rater) for rater in range(people)])
    # The worst first, since a contradicting rater spoils the mean with which the others are compared.
    for rater in np.argsort(correlations):
        left = np.array([not reason for reason in reasons])
        correlation = correlation_with_others(np.where(left, ratings, np.nan), int(rater), ratings[:, rater])
        if correlation < 0 and left.sum() > FEW_RATERS:
            reasons[rater] = f"contradicts the others (correlation {correlation:.2f})"
    left = np.array([not reason for reason in reasons])
    if left.sum() >= _LEAST_FOR_KURTOSIS:
        for rater in np.flatnonzero(left)[screened_by_kurtosis(ratings[:, left])]:
            reasons[rater] = "often far from the others in both directions (ITU-R BT.500)"
    return reasons


def correlation_with_others(ratings: np.ndarray, rater: int, own: np.ndarray | None = None) -> float:
    """PLCC of a rater's ratings with the mean of the others.

    Args:
        ratings: (J, I), nan where there is none.
        rater: Index.
        own: (J,) the rater's ratings, if not those of the table.

    Returns:
        nan with fewer than 10 images in common, or where either side is constant.
    """
    own = ratings[:, rater] if own is None else own
    others = np.delete(ratings, rater, axis=1)
    counts = np.isfinite(others).sum(axis=1)
    common = np.isfinite(own) & (counts > 0)
    if common.sum() < _LEAST_COMMON:
        return math.nan
    means = np.nansum(others[common], axis=1) / counts[common]
    if np.ptp(own[common]) == 0 or np.ptp(means) == 0:
        return math.nan
    return float(plcc(own[common], means))


def _estimate(ratings: np.ndarray) -> tuple[Estimate, str]:
    """MOS of ratings (J, I), each image with at least one, and the method in words."""
    people = ratings.shape[1]
    if people == 1:
        nothing = np.full(len(ratings), np.nan)
        return Estimate(ratings[:, 0], nothing, np.full(1, np.nan), np.full(1, np.nan)), _PLAIN
    if people >= _LEAST_FOR_LIKELIHOOD:
        found = by_likelihood(ratings)
        if np.isfinite(found.mos).all() and (found.inconsistency > _COLLAPSED).all():
            return found, _BY_LIKELIHOOD
    found = without_bias(ratings)
    residuals = ratings - found.mos[:, None] - found.bias
    counts = np.isfinite(residuals).sum(axis=0)
    spread = np.sqrt(np.nansum(residuals**2, axis=0) / np.maximum(counts, 1))
    return found._replace(inconsistency=np.where(counts > 1, spread, np.nan)), _WITHOUT_BIAS


def _half_widths(estimate: Estimate, count: np.ndarray, method: str) -> np.ndarray:
    """Half of each interval, (J,); nan for a single rater."""
    if method == _BY_LIKELIHOOD:
        return np.asarray(1.959964 * estimate.error)
    with np.errstate(invalid="ignore"):
        width = stdtrit(np.maximum(count - 1, 1), (1 + LEVEL) / 2) * estimate.error
    return np.where(count > 1, width, np.nan)


def _deviations(ratings: np.ndarray, count: np.ndarray) -> np.ndarray:
    mean = np.nansum(ratings, axis=1) / np.maximum(count, 1)
    squares = np.nansum((ratings - mean[:, None]) ** 2, axis=1)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def _facts(
    opinions: Opinions, ratings: np.ndarray, reasons: Sequence[str], estimate: Estimate, used: np.ndarray
) -> tuple[RaterFacts, ...]:
    place = np.cumsum(used) - 1
    trusted = np.where(used, ratings, np.nan)
    found = []
    for rater, name in enumerate(opinions.raters):
        again = np.isfinite(opinions.again[:, rater])
        difference = np.abs(opinions.first[again, rater] - opinions.again[again, rater])
        bias = estimate.bias[place[rater]] if used[rater] else math.nan
        inconsistency = estimate.inconsistency[place[rater]] if used[rater] else math.nan
        found.append(
            RaterFacts(
                rater=name,
                votes=int(np.isfinite(opinions.first[:, rater]).sum() + again.sum()),
                bias=float(bias),
                inconsistency=float(inconsistency),
                repeated=int(again.sum()),
                repeat_difference=float(difference.mean()) if len(difference) else math.nan,
                correlation=correlation_with_others(trusted, rater, ratings[:, rater]),
                seconds=float(opinions.seconds[rater]),
                screened=reasons[rater],
            )
        )
    return tuple(found)


def _remarks(ratings: np.ndarray, facts: Sequence[RaterFacts], lost: int) -> tuple[str, ...]:
    values = ratings[np.isfinite(ratings)]
    people = len(facts)
    remarks = few_raters(people)
    if len(values) and np.ptp(values) == 0:
        remarks.append(
            f"All ratings are {values[0]:g}, so nothing can be learned from them: rate pictures of more "
            "different quality"
        )
    else:
        for at, one in enumerate(facts):
            own = ratings[:, at][np.isfinite(ratings[:, at])]
            if len(own) > 1 and np.ptp(own) == 0:
                remarks.append(f"{one.rater} gave every picture the same rating, {own[0]:g}")
    for one in facts:
        if one.screened:
            remarks.append(f"{one.rater} is left out: {one.screened}")
        elif one.correlation < 0 and people == 2:
            remarks.append(
                f"The two raters contradict each other (correlation {one.correlation:.2f}): ask both whether "
                "the scale was understood, 1 bad and 5 excellent, or take in more raters"
            )
            break
        elif one.correlation < 0:
            remarks.append(
                f"{one.rater} contradicts the others (correlation {one.correlation:.2f}). With so few raters "
                "nobody is left out: ask whether the scale was understood, 1 bad and 5 excellent, or take in "
                "more raters"
            )
    if lost:
        remarks.append(f"{lost} pictures have no rating of a rater who is used")
    return tuple(remarks)


def few_raters(people: int) -> list[str]:
    """What to say of fewer than three raters."""
    if people == 1:
        return [
            "One person rated: the scores are that person's taste, and nobody can tell how sure they are. "
            "Three raters are the least, fifteen what laboratories take"
        ]
    if people < FEW_RATERS:
        return [
            "Two people rated: intervals are wide, and neither can be screened. Three raters are the least, "
            "fifteen what laboratories take"
        ]
    return []
