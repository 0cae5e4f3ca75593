"""A comparison for people: a table, what it says in words, and what was left out."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from grmp_plugin.printable import printable

from .output import fits, note, print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement, MetricScores
    from grmp_plugin.statistics.bootstrap import Interval

_NAME = 14  # columns for a metric's name at least
_DISPENSABLE = ("B/W", "D/S", "KRCC", "RMSE*", "to best", "PLCC*")  # the first is the first to go
_MATRIX = 8  # metrics; more do not fit beside each other
_DISPUTED = 5  # images listed


def print_comparison(comparison: "Comparison") -> None:
    """Print the table on stdout, and remarks on stderr."""
    judged, count = int(comparison.judged.sum()), len(comparison.images)
    rated = "" if comparison.mos is None else " with ratings"
    working = comparison.working()
    if not working or not judged:
        return
    metrics = "1 metric" if len(working) == 1 else f"{len(working)} metrics"
    print_data(f"{metrics} on {judged} of {count} images{rated}\n")
    if comparison.mos is None:
        _print_ranks(comparison)
    else:
        _print_agreement(comparison)


def _print_agreement(comparison: "Comparison") -> None:
    agreements = [a for a in comparison.agreements if a is not None]
    columns: dict[str, Callable[[MetricAgreement], str]] = {
        "SRCC": lambda a: _with_interval(a.srcc, a.srcc_interval),
        "KRCC": lambda a: _number(a.krcc),
        "PLCC*": lambda a: _number(a.plcc_fitted),
        "RMSE*": lambda a: _amount(a.rmse_fitted),
        "to best": _to_best,
        "D/S": lambda a: _number(a.different_similar),
        "B/W": lambda a: _number(a.better_worse),
    }
    if not any(not math.isnan(a.better_worse) for a in agreements):
        del columns["D/S"], columns["B/W"]
    dropped = []
    table = _agreement_table(comparison, columns)
    for title in _DISPENSABLE:
        if fits(table):
            break
        if columns.pop(title, None) is not None:
            dropped.append(title)
            table = _agreement_table(comparison, columns)
    print_table(table)
    if dropped:
        note(f"no room for {', '.join(reversed(dropped))}: a wider terminal, --out and --report have them")
    note("* after the 4-parameter logistic fit; SRCC with its 95% interval")
    note("= the best, and those that cannot be told from it (paired bootstrap, Holm-corrected, 5%)")
    if "D/S" in columns:
        note("D/S, B/W: Krasula's AUC of telling different from similar pairs, and the better from the worse")
    for number in comparison.working():
        name, agreement = comparison.metrics[number].metric, comparison.agreements[number]
        if agreement is not None and agreement.remark:
            note(f"{name}: {agreement.remark}")
        if agreement is not None and agreement.srcc_interval.high < 0:
            better = "low" if comparison.mos_lower_better else "high"
            note(f"{name} runs against the ratings, of which a {better} one counts as good: is that right?")


def _agreement_table(
    comparison: "Comparison", columns: Mapping[str, "Callable[[MetricAgreement], str]"]
) -> Table:
    table = Table()
    table.add_column("metric", overflow="fold", min_width=_NAME)
    for title in (*columns, "images/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for number in comparison.working():
        metric, agreement = comparison.metrics[number], comparison.agreements[number]
        if agreement is None:
            continue
        name = printable(metric.metric) + (" =" if agreement.best else "")
        cells = [cell(agreement) for cell in columns.values()]
        table.add_row(Text(name, style="bold" if agreement.best else ""), *cells, _speed(metric))
    return table


def _print_ranks(comparison: "Comparison") -> None:
    working = comparison.working()
    table = Table()
    table.add_column("metric", overflow="fold", min_width=_NAME)
    matrix = len(working) <= _MATRIX
    for number in working if matrix else ():
        table.add_column(
            printable(comparison.metrics[number].metric), justify="right", overflow="fold", min_width=5
        )
    if not matrix:
        for title in ("most like", "SRCC", "least like", "SRCC"):
            table.add_column(title, justify="right", no_wrap=True)
    table.add_column("images/s", justify="right", no_wrap=True)
    for number in working:
        metric = comparison.metrics[number]
        if matrix:
            cells = ["" if other == number else _number(comparison.ranks[number, other]) for other in working]
        else:
            others = [n for n in working if n != number and not math.isnan(comparison.ranks[number, n])]
            ends = (
                [f(others, key=lambda n: comparison.ranks[number, n]) for f in (max, min)] if others else []
            )
            cells = [
                text
                for end in ends
                for text in (
                    printable(comparison.metrics[end].metric),
                    _number(comparison.ranks[number, end]),
                )
            ] or ["", "", "", ""]
        table.add_row(Text(printable(metric.metric)), *cells, _speed(metric))
    print_table(table)
    note("SRCC of every pair of metrics, each turned so that higher is better")
    if len(working) < 2 or not len(comparison.disputed):
        return
    print_data("\nmost disputed (rank among the images, 0 worst to 100 best)\n")
    disputed = Table()
    disputed.add_column("image", overflow="fold")
    shown = working if matrix else []
    for number in shown:
        disputed.add_column(printable(comparison.metrics[number].metric), justify="right", min_width=3)
    if not matrix:
        disputed.add_column("spread", justify="right")
    places = _places(comparison, shown)
    for image in comparison.disputed[:_DISPUTED].tolist():
        cells = [f"{places[number][image]:.0f}" for number in shown] or [f"{comparison.dispute[image]:.0f}"]
        disputed.add_row(Text(printable(comparison.images[image])), *cells)
    print_table(disputed)


def _places(comparison: "Comparison", numbers: list[int]) -> dict[int, dict[int, float]]:
    """Percentile rank of each judged image, by metric."""
    from grmp_plugin.statistics.disagreement import percentile_ranks

    judged = comparison.judged.nonzero()[0].tolist()
    ranks = {n: percentile_ranks(comparison.metrics[n].quality[comparison.judged]) for n in numbers}
    return {number: dict(zip(judged, found.tolist(), strict=True)) for number, found in ranks.items()}


def _to_best(agreement: "MetricAgreement") -> str:
    if math.isnan(agreement.difference):
        return "undefined"
    if math.isnan(agreement.p_value):
        return "" if agreement.difference == 0 else f"{agreement.difference:+.3f}"
    p = "p<0.001" if agreement.p_value < 0.001 else f"p={agreement.p_value:.3f}"
    return f"{agreement.difference:+.3f} {p}"


def _with_interval(value: float, interval: "Interval") -> str:
    if math.isnan(value):
        return "undefined"
    if math.isnan(interval.low):
        return f"{value:.3f}"
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def _amount(value: float) -> str:
    """An amount of any unit, to 3 digits."""
    return "undefined" if math.isnan(value) else f"{value:.3g}"


def _speed(metric: "MetricScores") -> str:
    speed = metric.images_per_second
    return "" if math.isnan(speed) else f"{speed:.3g}"
