"""What a comparison had to leave out, and why, on stderr."""

from typing import TYPE_CHECKING

from .output import note

if TYPE_CHECKING:
    from grmp_plugin.evaluation.comparison import Comparison

_REASONS = 5  # listed


def say_what_failed(comparison: "Comparison") -> None:
    """Name metrics and images that were left out."""
    for metric in comparison.metrics:
        if metric.error is not None:
            note(f"{metric.metric} is left out: {metric.error}")
    reasons = [
        f"{image}: {reason}"
        for image, reason in zip(comparison.images, comparison.errors, strict=True)
        if reason is not None
    ]
    for metric in comparison.metrics:
        if metric.error is None:
            reasons += [
                f"{image}: {metric.metric}: {reason}"
                for image, reason in zip(comparison.images, metric.errors, strict=True)
                if reason is not None
            ]
    if reasons:
        note("images that no metric is judged on, so that all are judged on the same:")
    for reason in reasons[:_REASONS]:
        note(f"  {reason}")
    if len(reasons) > _REASONS:
        note(f"  and {len(reasons) - _REASONS} more; --scores FILE lists them all")
