"""A comparison as rows and as one document, for files and data frames; None where there is no value."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement, MetricScores

_FITTED = ("plcc_fitted", "rmse_fitted")
_WITH_INTERVAL = ("srcc", "krcc", "plcc", *_FITTED)
_DISPUTED = 20  # images in the document


def metric_columns(comparison: "Comparison") -> list[str]:
    """Columns of the table of metrics; without ratings, one for the SRCC with each metric."""
    columns = ["metric", "reference", "lower_better", "images", "images_per_second"]
    if comparison.mos is None:
        columns += [f"srcc_with_{metric.metric}" for metric in comparison.metrics]
    else:
        for name in _WITH_INTERVAL:
            columns += [name, f"{name}_low", f"{name}_high"]
        columns += ["difference", "difference_low", "difference_high", "p_value", "best"]
        columns += ["different_similar", "better_worse", "learned_images", "remark"]
    return [*columns, "error"]


def metric_rows(comparison: "Comparison") -> list[dict[str, Any]]:
    """One flat row per metric, best first."""
    rows = []
    for number in _ranking(comparison):
        metric = comparison.metrics[number]
        row: dict[str, Any] = dict.fromkeys(metric_columns(comparison)) | _facts(comparison, metric)
        if comparison.mos is None:
            for other, value in zip(comparison.metrics, comparison.ranks[number].tolist(), strict=True):
                row[f"srcc_with_{other.metric}"] = _number(value)
        else:
            row |= _flat(comparison.agreements[number]) | _learned(comparison, metric)
        rows.append(row)
    return rows


def image_columns(comparison: "Comparison") -> list[str]:
    """Columns of the table of images."""
    names = [metric.metric for metric in comparison.metrics]
    if comparison.mos is None:
        return ["image", *names, "judged", "error"]
    return ["image", "mos", *names, "judged", "learned_by", "error"]


def image_rows(comparison: "Comparison") -> list[dict[str, Any]]:
    """One row per image, in input order: the unchanged score of each metric."""
    rows = []
    learners = comparison.learned_by or ((),) * len(comparison.images)
    for number, image in enumerate(comparison.images):
        row: dict[str, Any] = {"image": image}
        if comparison.mos is not None:
            row["mos"] = float(comparison.mos[number])
        reasons = [comparison.errors[number]]
        for metric in comparison.metrics:
            row[metric.metric] = _number(float(metric.scores[number]))
            reason = metric.errors[number]
            reasons.append(None if reason is None else f"{metric.metric}: {reason}")
        row["judged"] = bool(comparison.judged[number])
        if comparison.mos is not None:
            row["learned_by"] = "; ".join(learners[number]) or None
        row["error"] = "; ".join(reason for reason in reasons if reason) or None
        rows.append(row)
    return rows


def comparison_document(comparison: "Comparison") -> dict[str, Any]:
    """The whole comparison for JSON, without the scores of the images."""
    metrics = []
    for number in _ranking(comparison):
        metric = comparison.metrics[number]
        row = _facts(comparison, metric) | {"identity": dict(metric.identity)}
        if comparison.mos is not None:
            row |= _nested(comparison.agreements[number]) | _learned(comparison, metric)
        metrics.append(row)
    names = [metric.metric for metric in comparison.metrics]
    pairs = [
        {"first": names[a], "second": names[b], "srcc": float(comparison.ranks[a, b])}
        for a in range(len(names))
        for b in range(a + 1, len(names))
        if comparison.metrics[a].error is None and comparison.metrics[b].error is None
    ]
    disputed = [
        {"image": comparison.images[number], "dispute": float(comparison.dispute[number])}
        for number in comparison.disputed[:_DISPUTED].tolist()
    ]
    return {"run": dict(comparison.run), "metrics": metrics, "pairs": pairs, "disputed": disputed}


def _ranking(comparison: "Comparison") -> list[int]:
    """Indices of all metrics, failed ones last."""
    failed = (number for number, metric in enumerate(comparison.metrics) if metric.error is not None)
    return [*comparison.working(), *failed]


def _facts(comparison: "Comparison", metric: "MetricScores") -> dict[str, Any]:
    return {
        "metric": metric.metric,
        "reference": metric.reference,
        "lower_better": metric.lower_better,
        "images": 0 if metric.error is not None else int(comparison.judged.sum()),
        "images_per_second": _number(metric.images_per_second),
        "error": metric.error,
    }


def _learned(comparison: "Comparison", metric: "MetricScores") -> dict[str, Any]:
    """How many of the images the metric learned from."""
    return {"learned_images": comparison.learners().get(metric.metric, 0)}


def _flat(agreement: "MetricAgreement | None") -> dict[str, Any]:
    if agreement is None:
        return {}
    row: dict[str, Any] = {}
    for name in (*_WITH_INTERVAL, "difference"):
        interval = getattr(agreement, f"{name}_interval")
        row |= {
            name: _number(getattr(agreement, name)),
            f"{name}_low": _number(interval.low),
            f"{name}_high": _number(interval.high),
        }
    return row | _single(agreement)


def _nested(agreement: "MetricAgreement | None") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in (*_WITH_INTERVAL, "difference"):
        row[name] = None if agreement is None else getattr(agreement, name)
        row[f"{name}_interval"] = None if agreement is None else [*getattr(agreement, f"{name}_interval")]
    return row | ({} if agreement is None else _single(agreement))


def _single(agreement: "MetricAgreement") -> dict[str, Any]:
    return {
        "p_value": _number(agreement.p_value),
        "best": agreement.best,
        "different_similar": _number(agreement.different_similar),
        "better_worse": _number(agreement.better_worse),
        "remark": agreement.remark or None,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
