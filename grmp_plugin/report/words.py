"""The findings of a comparison, in sentences."""

import math

import numpy as np

from grmp_plugin.evaluation.comparison import Comparison
from grmp_plugin.printable import counted
from grmp_plugin.report.standing import leader, pairs_by_agreement, tied
from grmp_plugin.report.text import decimals, interval, listed, number


def answer(comparison: Comparison) -> str:
    """The result in one paragraph."""
    numbers = comparison.working()
    if not numbers:
        return "No metric could be run, so there is nothing to compare."
    if not comparison.judged.any():
        return "No image has a score from every metric and all other data needed, so nothing was compared."
    if comparison.mos is None:
        return _without_ratings(comparison)
    return " ".join(filter(None, [_with_ratings(comparison), _flattered(comparison)]))


def judged(comparison: Comparison) -> str:
    """How many images are judged, and why the others are not."""
    total, count = len(comparison.images), int(comparison.judged.sum())
    if count == total:
        return f"{counted(total, 'image')}; every metric is judged on all of them."
    left = np.flatnonzero(~comparison.judged)
    unread = [index for index in left if comparison.errors[index] is not None]
    rest = [index for index in left if comparison.errors[index] is None]
    left_out = comparison.left_out()
    learned = [index for index in rest if left_out[index]]
    rest = [index for index in rest if not left_out[index]]
    unrated = [index for index in rest if comparison.mos is not None and math.isnan(comparison.mos[index])]
    unscored = {
        comparison.metrics[number].metric: sum(
            math.isnan(comparison.metrics[number].scores[index]) for index in rest
        )
        for number in comparison.working()
    }
    reasons = [f"{len(unread):,} could not be read"] if unread else []
    if learned:
        names = listed(list(comparison.learners()))
        reasons.append(
            f"{len(learned):,} are left out, as {names} learned from them or from other versions of their "
            "originals"
        )
    reasons += [f"{len(unrated):,} have no MOS"] if unrated else []
    reasons += [f"{count:,} have no score by {name}" for name, count in unscored.items() if count]
    text = f"{counted(total, 'image')}; the metrics are judged on {count:,}"
    return f"{text}. Of the others, {listed(reasons)}." if reasons else f"{text}."


def ratings(comparison: Comparison) -> str:
    """What the ratings are, if there are any."""
    if comparison.mos is None:
        return "None."
    known = comparison.mos[np.isfinite(comparison.mos)]
    if not len(known):
        return "None of the images has one."
    places = decimals(known)
    direction = "lower" if comparison.mos_lower_better else "higher"
    ends = f"{number(float(known.min()), places)} to {number(float(known.max()), places)}"
    return f"Mean opinion scores (MOS) of {counted(len(known), 'image')}, {ends}; {direction} is better."


def resampled(comparison: Comparison) -> str:
    """The resampled units of the intervals, unless these are the images."""
    units = comparison.run.get("ratings", {}).get("resampled", "images")
    return "" if units == "images" else f"; resampled: {units}"


def _with_ratings(comparison: Comparison) -> str:
    first = leader(comparison)
    agreement = None if first is None else comparison.agreement_of(first)
    count = counted(int(comparison.judged.sum()), "image")
    if first is None or agreement is None:
        return f"No metric's agreement with the ratings could be computed on {count}."
    name, numbers = comparison.metrics[first].metric, comparison.working()
    value = f"SRCC {number(agreement.srcc, 2)} {interval(agreement.srcc_interval, 2)}".strip()
    if agreement.srcc <= 0:
        return f"No metric agrees with the ratings: the highest is {name} with {value} on {count}."
    verb = "agrees best" if len(numbers) > 1 else "agrees"
    text = f"{name} {verb} with the ratings: {value} on {count}."
    if agreement.srcc_interval.low <= 0:
        text += " Its interval includes 0: on these images, the agreement may be chance."
    return " ".join([text, *_others(comparison, first)])


def _flattered(comparison: Comparison) -> str:
    """A warning, if metrics are judged on images that they learned from."""
    if not (comparison.include_learned and comparison.learned_images()):
        return ""
    names = listed(list(comparison.learners()))
    return (
        f"These numbers flatter {names}, which learned from {counted(comparison.learned_images(), 'image')} "
        "or from other versions of their originals."
    )


def _others(comparison: Comparison, first: int) -> list[str]:
    """How the other metrics compare with the leader."""
    names = {index: comparison.metrics[index].metric for index in comparison.working() if index != first}
    close = tied(comparison)
    undefined = [index for index in names if math.isnan(comparison.srcc_of(index))]
    behind = [index for index in names if index not in close and index not in undefined]
    sentences = []
    if close:
        verb = "is" if len(close) == 1 else "are"
        sentences.append(f"{listed([names[index] for index in close])} {verb} not significantly different.")
    if behind:
        verb = "agrees" if len(behind) == 1 else "agree"
        sentences.append(f"{listed([names[index] for index in behind])} {verb} less.")
    if undefined:
        sentences.append(f"SRCC is undefined for {listed([names[index] for index in undefined])}.")
    return sentences


def _without_ratings(comparison: Comparison) -> str:
    unjudged = "Without ratings, this does not show which metric is right."
    pairs = pairs_by_agreement(comparison)
    if not pairs:
        names = [comparison.metrics[index].metric for index in comparison.working()]
        alone = f"Only {names[0]} ran" if len(names) == 1 else "No two metrics could be compared"
        return f"{alone}. {unjudged}"
    most, least = (
        f"{comparison.metrics[first].metric} and {comparison.metrics[second].metric}"
        for _, first, second in (pairs[0], pairs[-1])
    )
    count = counted(int(comparison.judged.sum()), "image")
    if len(pairs) == 1:
        return f"The ranks of {most} on {count} have SRCC {number(pairs[0][0], 2)}. {unjudged}"
    return (
        f"{most} agree most on the order of {count} (SRCC {number(pairs[0][0], 2)}), {least} least "
        f"({number(pairs[-1][0], 2)}). {unjudged}"
    )
