"""The page of a comparison of metrics."""

import math

import numpy as np

from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.evaluation.comparison import Comparison
from grmp_plugin.printable import counted
from grmp_plugin.report import charts, words
from grmp_plugin.report.comparison_table import metrics_table
from grmp_plugin.report.galleries import galleries
from grmp_plugin.report.page import render
from grmp_plugin.report.parts import Failures, Figure, Record
from grmp_plugin.report.pictures import Maps, Pictures
from grmp_plugin.report.standing import leader, tied
from grmp_plugin.report.text import common_folder, date_text, facts, interval, number


def comparison_report(comparison: Comparison, maps: Maps | None = None) -> str:
    """A comparison as one self-contained HTML page.

    Args:
        comparison: What to show. Its images are read for the galleries; one that cannot be read is shown as
            the reason why.
        maps: Quality maps in any size and mode, or their files, by the path of the image; shown beside the
            image in the galleries.

    Returns:
        HTML that is valid UTF-8 whatever the names of the files.
    """
    works = len(comparison.working())
    judged = int(comparison.judged.sum())
    return render(
        "comparison.html.j2",
        title=f"{counted(works, 'metric')} on {counted(judged, 'image')}",
        date=date_text(comparison.run.get("date", "")),
        answer=words.answer(comparison),
        judged=words.judged(comparison),
        not_compared=left_out_words(comparison.run.get("left_out", {})),
        ratings=words.ratings(comparison),
        rated=comparison.mos is not None,
        resampled=words.resampled(comparison),
        folder=common_folder(comparison.images),
        table=metrics_table(comparison),
        intervals=_intervals(comparison),
        scatters=_scatters(comparison),
        heat_map=_heat_map(comparison),
        galleries=galleries(comparison, Pictures(maps)),
        failures=_failures(comparison),
        records=_records(comparison),
    )


def _intervals(comparison: Comparison) -> Figure | None:
    """SRCC of every metric against the ratings; None where none is defined."""
    lead, close = leader(comparison), tied(comparison)
    if lead is None:
        return None
    estimates = [
        charts.Estimate(
            comparison.metrics[index].metric,
            agreement.srcc,
            agreement.srcc_interval,
            leads=index == lead,
            tied=index in close,
        )
        for index in comparison.working()
        if (agreement := comparison.agreement_of(index)) is not None
    ]
    return Figure(charts.intervals("intervals", estimates))


def _scatters(comparison: Comparison) -> list[Figure]:
    """A scatter plot for every working metric that has images to show."""
    found: list[Figure] = []
    if comparison.mos is None:
        return found
    opinion = "MOS, lower is better" if comparison.mos_lower_better else "MOS"
    for index in comparison.working():
        metric, agreement = comparison.metrics[index], comparison.agreement_of(index)
        shown = comparison.judged & np.isfinite(metric.scores) & np.isfinite(comparison.mos)
        if agreement is None or not shown.any():
            continue
        score = "score, lower is better" if metric.lower_better else "score"
        chart = charts.scatter(
            f"scatter-{index}",
            f"{metric.metric} against MOS",
            metric.scores[shown],
            comparison.mos[shown],
            agreement.curve,
            (score, opinion),
        )
        said = [f"SRCC {number(agreement.srcc, 3)} {interval(agreement.srcc_interval, 3)}".strip()]
        if agreement.curve is None:
            said.append("no curve could be fitted")
        if shown.sum() > charts.MAX_POINTS:
            said.append(f"{charts.MAX_POINTS:,} of {shown.sum():,} points drawn, chosen at random")
        found.append(Figure(chart, metric.metric, "; ".join(said)))
    return found


def _heat_map(comparison: Comparison) -> Figure | None:
    """Rank agreement of the working metrics; None for fewer than two."""
    numbers = comparison.working()
    if len(numbers) < 2:
        return None
    names = [comparison.metrics[index].metric for index in numbers]
    return Figure(charts.heat_map("heat-map", names, comparison.ranks[np.ix_(numbers, numbers)]))


def _failures(comparison: Comparison) -> list[Failures]:
    images = list(zip(comparison.images, comparison.errors, strict=True))
    unread = [(image, error) for image, error in images if error is not None]
    broken = [(metric.metric, metric.error) for metric in comparison.metrics if metric.error is not None]
    found = [
        Failures.first("Images that could not be read", unread),
        Failures.first("Metrics that could not be run", broken),
    ]
    for index in sorted(comparison.working()):
        metric = comparison.metrics[index]
        unscored = [
            (image, reason or "no score")
            for (image, error), reason, score in zip(images, metric.errors, metric.scores, strict=True)
            if error is None and math.isnan(score)
        ]
        found.append(Failures.first(f"Images without a score of {metric.metric}", unscored))
    return [failures for failures in found if failures.total]


def _records(comparison: Comparison) -> list[Record]:
    records = [Record("Run", tuple(facts(comparison.run)))]
    records += [Record(metric.metric, tuple(facts(metric.identity))) for metric in comparison.metrics]
    return [record for record in records if record.facts]
