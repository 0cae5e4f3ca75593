"""The table of a comparison: agreement with MOS, or ranks and score ranges without ratings."""

import math

import numpy as np

from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement, MetricScores
from grmp_plugin.report.parts import Cell, Column, Table, number_cell
from grmp_plugin.report.standing import leader
from grmp_plugin.report.text import NOTHING, decimals, interval, probability


def metrics_table(comparison: Comparison) -> Table:
    """One row for each working metric, with the failed ones below."""
    numbers = comparison.working()
    failed = tuple((metric.metric, metric.error) for metric in comparison.metrics if metric.error is not None)
    if comparison.mos is None:
        columns, rows = _ranked(comparison, numbers)
    else:
        columns, rows = _agreeing(comparison, numbers, decimals(comparison.mos) + 1)
    counts = (Column("Images scored"), Column("Images/s"))
    complete = tuple(
        (_head(comparison, index), *row, *_counts(comparison.metrics[index]))
        for index, row in zip(numbers, rows, strict=True)
    )
    head = Column("Metric", numeric=False, first="ascending")
    return Table("Metrics", (head, *columns, *counts), complete, failed)


def _agreeing(
    comparison: Comparison, numbers: list[int], places: int
) -> tuple[tuple[Column, ...], list[tuple[Cell, ...]]]:
    agreements = [agreement for index in numbers if (agreement := comparison.agreement_of(index))]
    with_auc = any(not math.isnan(one.different_similar + one.better_worse) for one in agreements)
    columns: tuple[Column, ...] = (
        Column("SRCC", sorted="descending"),
        Column("KRCC"),
        Column("PLCC"),
        Column("PLCC fitted"),
        Column("RMSE fitted", first="ascending"),
        Column("SRCC to best"),
        Column("p"),
    )
    if with_auc:
        columns += (Column("AUC different"), Column("AUC better"))
    return columns, [_agreement_cells(one, places, with_auc) for one in agreements]


def _agreement_cells(one: MetricAgreement, places: int, with_auc: bool) -> tuple[Cell, ...]:
    tested = not math.isnan(one.p_value)
    cells = (
        number_cell(one.srcc, 3, interval(one.srcc_interval, 3)),
        number_cell(one.krcc, 3, interval(one.krcc_interval, 3)),
        number_cell(one.plcc, 3, interval(one.plcc_interval, 3)),
        number_cell(one.plcc_fitted, 3, interval(one.plcc_fitted_interval, 3)),
        number_cell(one.rmse_fitted, places, interval(one.rmse_fitted_interval, places)),
        number_cell(one.difference, 3, interval(one.difference_interval, 3) if tested else ""),
        Cell(probability(one.p_value), key=repr(one.p_value)) if tested else Cell(NOTHING),
    )
    if not with_auc:
        return cells
    return (*cells, number_cell(one.different_similar, 3), number_cell(one.better_worse, 3))


def _ranked(comparison: Comparison, numbers: list[int]) -> tuple[tuple[Column, ...], list[tuple[Cell, ...]]]:
    columns = (Column("Rank agreement"), Column("Median"), Column("Lowest"), Column("Highest"))
    rows = []
    for index in numbers:
        others = [comparison.ranks[index, other] for other in numbers if other != index]
        known = [value for value in others if not math.isnan(value)]
        scores = comparison.metrics[index].scores
        finite = scores[np.isfinite(scores)]
        spread = (np.median(finite), finite.min(), finite.max()) if len(finite) else (math.nan,) * 3
        mean = number_cell(float(np.mean(known)) if known else math.nan, 3)
        rows.append((mean, *(number_cell(float(value), decimals(finite)) for value in spread)))
    return columns, rows


def _head(comparison: Comparison, index: int) -> Cell:
    metric, agreement = comparison.metrics[index], comparison.agreement_of(index)
    kind = "full-reference" if metric.reference else "no-reference"
    note = f"{kind}, {'lower' if metric.lower_better else 'higher'} is better"
    tag = ""
    if agreement is not None:
        note += f". {agreement.remark}" if agreement.remark else ""
        if index == leader(comparison):
            tag = "best"
        elif agreement.best and not math.isnan(agreement.srcc):
            tag = "not significantly different"
    return Cell(metric.metric, note, tag=tag)


def _counts(metric: MetricScores) -> tuple[Cell, Cell]:
    scored = int(np.isfinite(metric.scores).sum())
    rate = metric.images_per_second
    return Cell(f"{scored:,}", key=str(scored)), number_cell(rate, 1 if rate < 100 else 0)
