"""The result of a comparison of metrics: scores, agreement with MOS, and agreement with each other.

Plain data, so that tables and pages need nothing that produced it.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.statistics.bootstrap import Interval
from grmp_plugin.statistics.disagreement import percentile_ranks

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MetricScores:
    """One metric on the N images of a comparison.

    Attributes:
        metric: Name, as the caller gave it.
        reference: Whether it compares with a reference image (full-reference).
        lower_better: Whether a low score means good quality.
        scores: (N,) scores, nan where there is none.
        errors: N reasons for missing scores, None where there is a score.
        seconds: Mean time per image, without loading the metric and decoding; nan if nothing was scored.
        error: Why the metric failed as a whole; all scores are nan then.
        identity: What the scores depend on beside the images: weights' digest, versions, options.
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
        """(N,) scores with the sign that makes higher better."""
        return -self.scores if self.lower_better else self.scores

    @property
    def images_per_second(self) -> float:
        """Speed without loading and decoding; nan if nothing was scored."""
        return 1 / self.seconds if self.seconds > 0 else math.nan


@dataclass(frozen=True)
class MetricAgreement:
    """Agreement of one metric with MOS on the images that all metrics are judged on; nan where undefined.

    Correlations are positive if the metric has the direction that it declares, and negative if it has the
    opposite one.

    Attributes:
        srcc: Spearman's rank correlation.
        krcc: Kendall's rank correlation, tau-b.
        plcc: Pearson's correlation with the unchanged scores.
        plcc_fitted: Pearson's correlation after the 4-parameter logistic fit; negative if the curve falls.
        rmse_fitted: Root mean squared error after the fit, in units of MOS.
        srcc_interval: 95% bootstrap interval; likewise for the others.
        difference: SRCC minus that of the best metric; 0 for the best itself.
        difference_interval: Paired 95% bootstrap interval of the difference.
        p_value: Two-sided p-value of the difference, Holm-corrected for all pairs of metrics because the
            best was chosen among all; nan for the best itself.
        best: Whether the metric is the best, or not significantly different from the best.
        curve: (K, 2) points of the fitted curve, score and MOS, from the lowest to the highest score; None
            if the fit failed.
        different_similar: Krasula's AUC for pairs of different against pairs of similar quality; nan
            without standard errors of the MOS.
        better_worse: Krasula's AUC for the better image of pairs of different quality.
        remark: What is unusual, such as a failed fit or constant scores; may be empty.
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
    """Several metrics on the same images.

    Attributes:
        images: N paths.
        errors: N reasons why an image or its reference cannot be read, None where both can.
        metrics: M metrics in the order given, including failed ones.
        judged: (N,) which images the metrics are judged on: those scored by every metric that works, except
            those that one of them learned from, unless these are included.
        mos: (N,) mean opinion scores; None without ratings.
        mos_lower_better: Whether a low MOS means good quality.
        agreements: M agreements with MOS, None for failed metrics; empty without ratings.
        ranks: (M, M) SRCC of each pair of metrics on the judged images, with signs that make higher better;
            nan in rows and columns of failed metrics.
        disputed: Indices of the judged images, those first whose ranks differ most between metrics.
        dispute: (N,) standard deviation of an image's percentile rank (0 to 100) over the metrics that
            work; nan for images that are not judged.
        run: What produced it, as plain data: inputs, settings, versions, seed, date.
        learned_by: N tuples of the metrics that work and learned from the image, or from another version of
            its original; empty if no metric says what it learned from.
        include_learned: Whether such images are judged on.
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
    run: Mapping[str, Any] = field(default_factory=dict)
    learned_by: tuple[tuple[str, ...], ...] = ()
    include_learned: bool = False

    def left_out(self) -> NDArray[np.bool_]:
        """(N,) which images are left out because a metric learned from them."""
        if self.include_learned or not self.learned_by:
            return np.zeros(len(self.images), bool)
        return np.array([bool(names) for names in self.learned_by], bool)

    def learned_images(self) -> int:
        """Number of images that a metric learned from."""
        return sum(bool(names) for names in self.learned_by)

    def learners(self) -> dict[str, int]:
        """Numbers of images that the metrics learned from, by the names of those that did."""
        return dict(Counter(name for names in self.learned_by for name in names))

    def agreement_of(self, number: int) -> MetricAgreement | None:
        """Agreement of a metric with MOS; None without ratings and for a failed metric."""
        return self.agreements[number] if self.agreements else None

    def srcc_of(self, number: int) -> float:
        """SRCC of a metric with MOS; nan where undefined."""
        agreement = self.agreement_of(number)
        return math.nan if agreement is None else agreement.srcc

    def working(self) -> list[int]:
        """Indices of the metrics that work: highest SRCC first, or in the order given without ratings."""
        numbers = [number for number, metric in enumerate(self.metrics) if metric.error is None]
        srcc = {number: self.srcc_of(number) for number in numbers}
        return sorted(numbers, key=lambda number: math.inf if math.isnan(srcc[number]) else -srcc[number])

    def percentile_ranks_by(self, number: int) -> Array:
        """(N,) percentile ranks of the judged images by one metric, 0 worst to 100 best; nan for others."""
        ranks = np.full(len(self.images), math.nan)
        ranks[self.judged] = percentile_ranks(self.metrics[number].quality[self.judged])
        return ranks
