"""What a start has learned from among rated images, and what a model adapted to some of them has."""

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.data.learned_images import (
    digests_of_files,
    learned_digests,
    original_files,
    seen_images,
    with_learned,
)
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.training.rated_views import RatedViews


def seen_by(start: Checkpoint, ratings: Ratings, images: RatedViews) -> NDArray[np.bool_]:
    """Which rated images a model learned from, or from other versions of their originals.

    Args:
        start: The model.
        ratings: N rated images.
        images: The same images; those that were read are known by their pixels.

    Returns:
        (N,) True for images that the model learned from.

    Raises:
        CheckpointError: When the model's record of these images is damaged.
    """
    learned = learned_digests(start.info, start.source)
    if not learned:
        return np.zeros(len(images), bool)
    files = original_files(ratings)
    digests = digests_of_files(file for file in files if file is not None)
    originals = [None if file is None else digests.get(file) for file in files]
    return seen_images(learned, images.digests, originals, ratings.references)


def learned_from(
    start: Checkpoint,
    ratings: Ratings,
    images: RatedViews,
    shots: NDArray[np.int64],
    selected_on: NDArray[np.int64] | None,
) -> dict[str, dict[str, str]]:
    """The record of a model adapted to some rated images: these, their originals, and those of the start.

    Args:
        start: The model before adaptation.
        ratings: N rated images.
        images: The same images, which were read.
        shots: Numbers of those that were learned from.
        selected_on: Numbers of those on which the best epoch was chosen, which flatters the model as well.

    Raises:
        CheckpointError: When the start's record is damaged.
    """
    used = shots if selected_on is None else np.union1d(shots, selected_on)
    files = original_files(ratings.subset(used))
    originals = digests_of_files(file for file in files if file is not None)
    pixels = ((images.paths[i], images.digests[i]) for i in used)
    return with_learned(
        start.info,
        start.source,
        ratings=[(path, digest) for path, digest in pixels if digest is not None],
        originals=list(originals.items()),
    )
