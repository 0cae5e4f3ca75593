"""Galleries of a comparison: best, worst and most disputed images."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.evaluation.comparison import Comparison
from grmp_plugin.printable import counted
from grmp_plugin.report.parts import GALLERY, Card, Gallery, Score
from grmp_plugin.report.pictures import Pictures
from grmp_plugin.report.standing import leader, ranks_among
from grmp_plugin.report.text import common_folder, decimals, number


def galleries(comparison: Comparison, pictures: Pictures) -> list[Gallery]:
    """The galleries, without empty ones."""
    numbers = comparison.working()
    if not numbers:
        return []
    lead = leader(comparison)
    guide = comparison.metrics[numbers[0] if lead is None else lead]
    among = np.flatnonzero(comparison.judged & np.isfinite(guide.quality))
    order = among[np.argsort(-guide.quality[among], kind="stable")]
    best, worst = split(order)
    disputed = [int(index) for index in comparison.disputed if math.isfinite(comparison.dispute[index])]
    disputed = disputed[:GALLERY] if len(numbers) > 1 else []
    whose = f"{guide.metric}, which agrees best with the ratings" if lead is not None else guide.metric
    shown = f"of {counted(len(order), 'judged image')}"
    make = _Cards(comparison, pictures)
    found = [
        Gallery("best", "Best images", f"The {len(best)} best {shown}, by {whose}.", make(best)),
        Gallery("worst", "Worst images", f"The {len(worst)} worst {shown}, by {whose}.", make(worst)),
        Gallery(
            "disputed",
            "Most disputed images",
            f"The {len(disputed)} {shown} whose percentile ranks differ most between the metrics.",
            make(disputed, disputed=True),
        ),
    ]
    return [gallery for gallery in found if gallery.cards]


def split(order: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """The first and, in reverse, the last images: at most `GALLERY` each, without overlap."""
    half = (len(order) + 1) // 2
    best, worst = order[: min(GALLERY, half)], order[max(half, len(order) - GALLERY) :]
    return best.tolist(), worst[::-1].tolist()


class _Cards:
    """Makes cards of images by index."""

    def __init__(self, comparison: Comparison, pictures: Pictures) -> None:
        self._comparison = comparison
        self._pictures = pictures
        self._folder = common_folder(comparison.images)
        self._metrics = [
            (
                metric := comparison.metrics[index],
                decimals(metric.scores),
                ranks_among(metric.quality, comparison.judged),
            )
            for index in comparison.working()
        ]

    def __call__(self, indices: Iterable[int], *, disputed: bool = False) -> tuple[Card, ...]:
        return tuple(self._card(index, disputed) for index in indices)

    def _card(self, index: int, disputed: bool) -> Card:
        comparison = self._comparison
        path = comparison.images[index]
        picture, overlay = self._pictures.of(path)
        facts = []
        if comparison.mos is not None:
            facts.append(("MOS", number(float(comparison.mos[index]), decimals(comparison.mos))))
        if disputed:
            facts.append(("Rank deviation", number(float(comparison.dispute[index]), 0)))
        scores = tuple(
            Score(metric.metric, number(float(metric.scores[index]), places), _rank(float(ranks[index])))
            for metric, places, ranks in self._metrics
        )
        return Card(path, path.removeprefix(self._folder), picture, overlay, tuple(facts), scores)


def _rank(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}"
