"""Which images each metric learned from; no metric is judged on an image that any of them learned from."""

from collections.abc import Hashable, Mapping, Sequence

from grmp_plugin.data.learned_images import learned_digests, seen_images
from grmp_plugin.errors import GRMPError
from grmp_plugin.evaluation.metric_names import MetricSpec
from grmp_plugin.evaluation.metric_scores import PixelTable
from grmp_plugin.network.models import find_info


def learned_by_metrics(specs: Sequence[MetricSpec]) -> dict[str, frozenset[str]]:
    """Digests of what the metrics learned from, by the names of those that say it.

    Only this package's models do; what pyiqa's metrics learned from is not known.

    Args:
        specs: The metrics. One that cannot be read has no entry: it fails when it is to score.

    Raises:
        CheckpointError: When a checkpoint's record of these images is damaged.
    """
    found = {}
    for spec in specs:
        if spec.own and (digests := _learned(spec)):
            found[spec.name] = digests
    return found


def learned_images(
    learned: Mapping[str, frozenset[str]], pixels: PixelTable, groups: Sequence[Hashable] | None
) -> tuple[tuple[str, ...], ...]:
    """Which metrics learned from each image, or from another version of its original.

    Args:
        learned: Digests of what each metric learned from.
        pixels: Digests of N images and their originals.
        groups: N names of originals; None where images are independent.

    Returns:
        N tuples of names of metrics.
    """
    seen = {
        name: seen_images(digests, pixels.images, pixels.originals, groups)
        for name, digests in learned.items()
    }
    return tuple(tuple(name for name in seen if seen[name][number]) for number in range(len(pixels.images)))


def _learned(spec: MetricSpec) -> frozenset[str]:
    if spec.network is not None:
        return learned_digests(spec.network.info, spec.name)
    try:
        info = find_info(spec.name)
    except GRMPError:
        return frozenset()
    return learned_digests(info, spec.name)
