"""What a comparison of metrics holds: the scores, who was judged on what, and how they agree.

Plain data, so that whoever shows a comparison needs nothing that made it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.statistics.bootstrap import Interval

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MetricScores:
    """One metric on the N images of a comparison.

    Attributes:
        metric: as the user named it.
        reference: whether it compares with a reference image (full-reference).
        lower_better: whether a low score is a good one.
        scores: (N,), nan where there is none.
        errors: N reasons why there is no score, None where there is one.
        seconds: of computation for an image, on average, loading of the metric and decoding apart; nan
            where nothing was scored.
        error: why the metric could not be used at all; then all scores are nan.
        identity: what the scores depend on beside the image: weights' digest, versions, options.
    """

    metric: str
    reference: bool
    lower_better: bool
    scores: Array
    errors: tuple[str | None, ...]
    seconds: float
    error: str | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def quality(self) -> Array:
        """(N,) scores, negated where a low one is a good one: higher is better."""
        return -self.scores if self.lower_better else self.scores

    @property
    def images_per_second(self) -> float:
        """Speed without loading and decoding; nan where nothing was scored."""
        return 1 / self.seconds if self.seconds > 0 else math.nan


@dataclass(frozen=True)
class MetricAgreement:
    """How one metric agrees with MOS on the images that all metrics are judged on; nan where undefined.

    Every correlation is positive where the metric runs the way that it promises, and negative where it
    runs against it.

    Attributes:
        srcc: Spearman's rank correlation.
        krcc: Kendall's rank correlation, tau-b.
        plcc: Pearson's correlation with the scores as they are.
        plcc_fitted: the same after the 4-parameter logistic, negative where the fitted curve falls.
        rmse_fitted: root mean squared error after the logistic, in units of MOS.
        srcc_interval: 95% bootstrap interval, as for the others.
        difference: SRCC minus that of the best metric, 0 for the best itself.
        difference_interval: its paired 95% bootstrap interval.
        p_value: two-sided, of the difference, corrected (Holm) for as many comparisons as there are pairs
            of metrics, since the best was chosen among all; nan for the best itself.
        best: whether no metric has a higher SRCC, or this one cannot be told from the one that has.
        curve: (K, 2) points of the fitted logistic, from the lowest to the highest score: score as the
            metric gives it, and MOS. None where the fit failed.
        different_similar: Krasula's AUC of telling pairs of different from pairs of similar quality; nan
            without deviations of the ratings.
        better_worse: Krasula's AUC of telling the better image of a pair of different quality.
        remark: what is odd, such as a failed fit or constant scores; empty where nothing is.
    """

    srcc: float
    krcc: float
    plcc: float
    plcc_fitted: float
    rmse_fitted: float
    srcc_interval: Interval
    krcc_interval: Interval
    plcc_interval: Interval
    plcc_fitted_interval: Interval
    rmse_fitted_interval: Interval
    difference: float
    difference_interval: Interval
    p_value: float
    best: bool
    curve: Array | None
    different_similar: float
    better_worse: float
    remark: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Metrics side by side.

    Attributes:
        images: N paths.
        errors: N reasons why an image (or its reference) could not be read, None where it could.
        metrics: M metrics in the order asked for, failed ones too.
        judged: (N,) the images on which all metrics that work are judged.
        mos: (N,) mean opinion scores; None without ratings.
        mos_lower_better: whether a low MOS is a good one.
        agreements: M agreements with MOS, None for metrics that failed; empty without ratings.
        ranks: (M, M) SRCC of every pair of metrics on the judged images, each turned so that higher is
            better; nan in rows and columns of failed metrics.
        disputed: the judged images by their numbers, those first whose ranks differ most between metrics.
        dispute: (N,) standard deviation of an image's percentile rank (0..100) over the metrics that
            work; nan for images that are not judged.
        run: what made it: versions, options, number of images, seed, date.
    """

    images: tuple[str, ...]
    errors: tuple[str | None, ...]
    metrics: tuple[MetricScores, ...]
    judged: NDArray[np.bool_]
    mos: Array | None
    mos_lower_better: bool
    agreements: tuple[MetricAgreement | None, ...]
    ranks: Array
    disputed: NDArray[np.int64]
    dispute: Array
    run: Mapping[str, Any]

    def agreement_of(self, number: int) -> MetricAgreement | None:
        """Agreement of a metric with MOS; None without ratings, and for a metric that failed."""
        return self.agreements[number] if self.agreements else None

    def srcc_of(self, number: int) -> float:
        """SRCC of a metric with MOS; nan where there is none."""
        agreement = self.agreement_of(number)
        return math.nan if agreement is None else agreement.srcc

    def working(self) -> list[int]:
        """Numbers of the metrics that did not fail, the highest SRCC first; as asked for without ratings."""
        numbers = [number for number, metric in enumerate(self.metrics) if metric.error is None]
        srcc = {number: self.srcc_of(number) for number in numbers}
        return sorted(numbers, key=lambda number: math.inf if math.isnan(srcc[number]) else -srcc[number])
