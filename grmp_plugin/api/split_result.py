"""What an adaptation gained: agreement with the test ratings before and after, per split and over splits."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grmp_plugin.data.ratings import MosScale, Ratings
from grmp_plugin.statistics.agreement import Agreement, agreement, paired_difference, spread
from grmp_plugin.statistics.bootstrap import UNDEFINED, Interval
from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.tables import Row, without_nan
from grmp_plugin.training.choice import Tried
from grmp_plugin.training.interval import PredictionInterval

if TYPE_CHECKING:
    from grmp_plugin.training.adapted import Adapted

STATISTICS = ("srcc", "plcc", "krcc", "rmse")
# Where all images were learned from.
_UNTESTED = Agreement(0, math.nan, math.nan, math.nan, math.nan, UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED)


@dataclass(frozen=True)
class Difference:
    """SRCC after adaptation minus SRCC before; NaN where undefined.

    Attributes:
        srcc: The difference.
        srcc_interval: Its 95% interval, from a paired bootstrap over the test images.
    """

    srcc: float
    srcc_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, an interval as `[low, high]`, None in place of NaN."""
        plain = {
            name: list(value) if isinstance(value, Interval) else value for name, value in vars(self).items()
        }
        return dict(without_nan(plain))


@dataclass(frozen=True)
class MedianAgreement(Agreement):
    """Medians over splits; the intervals are 95% bootstrap intervals of the median over splits.

    Attributes:
        srcc_min: Lowest value of a split, as for the other three.
        srcc_max: Highest value of a split, as for the other three.
    """

    srcc_min: float
    srcc_max: float
    plcc_min: float
    plcc_max: float
    krcc_min: float
    krcc_max: float
    rmse_min: float
    rmse_max: float


@dataclass(frozen=True)
class MedianDifference(Difference):
    """Median over splits, with its 95% bootstrap interval and the extremes."""

    srcc_min: float
    srcc_max: float


@dataclass(frozen=True, eq=False)
class SplitResult:
    """The outcome of one split into shots and test images.

    Attributes:
        seed: Seed of the split and its training.
        shots: Number of shots.
        before: Agreement of the start's predictions with the test ratings.
        after: Agreement of the adapted model's predictions.
        difference: After minus before.
        shots_srcc_before: SRCC on the shots themselves, before adaptation.
        shots_srcc_after: SRCC on the shots themselves, after adaptation.
        angle: Mean angle between quality and semantic gradients, degrees; NaN without regularization.
        projected: Mean share of tensors whose gradient was projected; NaN without regularization.
        mos_scale: Scale of the ratings.
        skipped_steps: Steps skipped because a quality gradient was not finite.
        not_finite_gradients: Semantic gradients that were not finite and had no effect.
        moved: Distance of the learned parameters from the start, relative to their norm there.
        best_epoch: Epoch whose weights were kept, with protocol `released`; else None.
        method: How the model was adapted: `start` (kept as it was), `ridge`, `prompts` or `prompts+ridge`.
        tried: What cross-validation inside the shots compared; empty if nothing was to be chosen.
        interval: How far predicted MOS is off, from shots that were left out; None where none were.
        coverage: Share of the test ratings in that interval around their predictions; NaN without one.
        learned_from: Paths of the shots.
        tested: Rows of `image`, `mos`, and the predicted MOS `before` and `after`.
    """

    seed: int
    shots: int
    before: Agreement
    after: Agreement
    difference: Difference
    shots_srcc_before: float
    shots_srcc_after: float
    angle: float
    projected: float
    mos_scale: MosScale
    skipped_steps: int
    not_finite_gradients: int
    moved: float
    best_epoch: int | None
    method: str
    tried: tuple[Tried, ...]
    interval: PredictionInterval | None
    coverage: float
    learned_from: tuple[str, ...]
    tested: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {
            "seed": self.seed,
            "shots": self.shots,
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "difference": self.difference.as_dict(),
            "shots_srcc": {"before": self.shots_srcc_before, "after": self.shots_srcc_after},
            "angle": self.angle,
            "projected": self.projected,
            "mos_scale": dataclasses.asdict(self.mos_scale),
            "skipped_steps": self.skipped_steps,
            "not_finite_gradients": self.not_finite_gradients,
            "moved": self.moved,
            "best_epoch": self.best_epoch,
            "method": self.method,
            "tried": [dict(without_nan(dataclasses.asdict(each))) for each in self.tried],
            "interval": None if self.interval is None else dataclasses.asdict(self.interval),
            "coverage": self.coverage,
            "learned_from": list(self.learned_from),
            "tested": [dict(row) for row in self.tested],
        }
        return dict(without_nan(plain))


def split_result(adapted: "Adapted", rated: Ratings) -> SplitResult:
    """Evaluate one split on its test images.

    Args:
        adapted: Scores before and after adaptation.
        rated: The ratings that were split.
    """
    scale, test = adapted.scale, adapted.split.test
    mos, shots_mos = rated.mos[test], rated.mos[adapted.split.shots]
    groups = None if rated.references is None else [rated.references[i] for i in test]
    before, after = scale.to_mos(adapted.before), scale.to_mos(adapted.after)
    judged = [
        agreement(each, mos, groups, adapted.seed) if len(test) else _UNTESTED for each in (before, after)
    ]
    interval = adapted.interval
    return SplitResult(
        seed=adapted.seed,
        shots=len(adapted.split.shots),
        before=judged[0],
        after=judged[1],
        difference=Difference(*paired_difference(after, before, mos, groups=groups, seed=adapted.seed))
        if len(test)
        else Difference(math.nan, UNDEFINED),
        shots_srcc_before=srcc(scale.to_mos(adapted.shots_before), shots_mos),
        shots_srcc_after=srcc(scale.to_mos(adapted.shots_after), shots_mos),
        angle=adapted.angle,
        projected=adapted.projected,
        mos_scale=scale,
        skipped_steps=adapted.skipped,
        not_finite_gradients=adapted.not_finite,
        moved=adapted.moved,
        best_epoch=adapted.best_epoch,
        method=adapted.method,
        tried=adapted.tried,
        interval=interval,
        coverage=math.nan
        if interval is None or not len(test)
        else float((abs(after - mos) <= interval.half_width).mean()),
        learned_from=tuple(rated.images[i] for i in adapted.split.shots),
        tested=tuple(
            {"image": rated.images[i], "mos": rating, "before": first, "after": second}
            for i, rating, first, second in zip(
                test, mos.tolist(), before.tolist(), after.tolist(), strict=True
            )
        ),
    )


def agreement_over_splits(agreements: Sequence[Agreement]) -> Agreement:
    """The agreement of one split, or the medians over several."""
    if len(agreements) == 1:
        return agreements[0]
    values: dict[str, Any] = {"images": agreements[0].images}
    for name in STATISTICS:
        values |= _median(name, [getattr(one, name) for one in agreements])
    return MedianAgreement(**values)


def difference_over_splits(differences: Sequence[Difference]) -> Difference:
    """The difference of one split, or the median over several."""
    if len(differences) == 1:
        return differences[0]
    return MedianDifference(**_median("srcc", [one.srcc for one in differences]))


def _median(name: str, values: Sequence[float]) -> dict[str, Any]:
    found = spread([value for value in values if not math.isnan(value)])
    return {
        name: found.median,
        f"{name}_interval": found.interval,
        f"{name}_min": found.min,
        f"{name}_max": found.max,
    }
