"""A data set as a benchmark uses it: images that were read, without those that may not be judged."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from grmp_plugin.data.learned_images import digests_of_files, original_files, seen_images
from grmp_plugin.data.ratings import BadRow, Ratings
from grmp_plugin.data.splits import LEAST_TEST
from grmp_plugin.errors import InputError
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.learned import first_learned_block
from grmp_plugin.training.few_shot import FewShot
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.scorer import Embedded, RatedScorer
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.watch import Watch

# Bytes of tokens that are kept; those of further images are computed each time.
_ROOM = 2**30


class RatedSet:
    """Rated images, and what the start makes of them, shared by all methods and splits.

    Args:
        ratings: The ratings that are used.
        images: Their images, which were read.
        learned: Number of images that the start learned from.
        unreadable: Images that cannot be read.
    """

    def __init__(
        self, ratings: Ratings, images: RatedViews, learned: int = 0, unreadable: tuple[BadRow, ...] = ()
    ) -> None:
        self.ratings = ratings
        self.images = images
        self.learned = learned
        self.unreadable = unreadable
        self._start_scores: dict[int, float] = {}
        self._embedded: dict[int, Embedded] = {}

    @cached_property
    def scorer(self) -> RatedScorer:
        """Scores by the start and what is adapted from it; keeps the tokens of the frozen part."""
        return self.new_scorer()

    def new_scorer(self) -> RatedScorer:
        """The same for networks that differ from the start in earlier blocks."""
        return _SharingScorer(self.images, self._embedded)

    def start_scores(self, network: GRMPIQA, numbers: np.ndarray) -> np.ndarray:
        """Scores (N,) of some images by the start, computed once."""
        new = [int(i) for i in numbers if int(i) not in self._start_scores]
        self._start_scores.update(zip(new, self.scorer.scores(network, new).tolist(), strict=True))
        return np.array([self._start_scores[int(i)] for i in numbers])

    def upwards(self, numbers: np.ndarray) -> np.ndarray:
        """Ratings (N,) of some images, turned so that higher is better."""
        mos: np.ndarray = self.ratings.mos[numbers]
        return -mos if self.ratings.lower_better else mos


class _SharingScorer(RatedScorer):
    """Computes what enters the first image block once for all networks, as no method changes it.

    Args:
        images: Rated images with scoring views.
        embedded: What enters the first block, by image; grows.
    """

    def __init__(self, images: RatedViews, embedded: dict[int, Embedded]) -> None:
        super().__init__(images)
        self._entering = embedded

    @torch.inference_mode()
    def embed(self, network: GRMPIQA, indices: Sequence[int]) -> list[Embedded]:
        """See `RatedScorer`."""
        network.eval()
        device = network.clip.logit_scale.device
        block = first_learned_block(network)
        new = [number for number in indices if number not in self._entering]
        entering = dict(zip(new, self.entering(network, new), strict=True))
        found = []
        for number in indices:
            known = entering.get(number) or self._entering[number]
            if len(self._entering) < _ROOM // known.nbytes:
                self._entering.setdefault(number, known)
            tokens = network.pass_first_blocks(known.tokens.to(device), block).cpu()
            found.append(Embedded(tokens, known.statistics))
        return found


def read_set(
    start: Checkpoint,
    ratings: Ratings,
    settings: AdaptSettings,
    device: str,
    watch: Watch,
    *,
    skip_bad: bool,
    include_learned: bool,
) -> RatedSet:
    """Read all images, and leave out those that the start learned from.

    Raises:
        InputError: When images cannot be read and must not be left out, or when too few are left.
        CheckpointError: When the start's record of the images that it learned from is damaged.
    """
    read = FewShot(
        start,
        ratings,
        settings,
        device=device,
        watch=watch,
        skip_bad=skip_bad,
        include_learned=include_learned,
    )
    return RatedSet(read.ratings, read.images, read.learned, read.unreadable)


def without_images_of(tested: RatedSet, learned: RatedSet) -> RatedSet:
    """A data set to test on, without images of the one to learn from and other versions of their originals.

    Raises:
        InputError: When too few are left.
    """
    files = original_files(tested.ratings)
    originals = digests_of_files(file for file in files if file is not None)
    common = seen_images(
        {digest for digest in learned.images.digests if digest is not None},
        tested.images.digests,
        [None if file is None else originals.get(file) for file in files],
        tested.ratings.references,
    )
    left = np.flatnonzero(~common)
    if len(left) == len(common):
        return tested
    if len(left) < LEAST_TEST:
        raise InputError(
            f"{tested.ratings.source}: {len(left)} images are left to test on, as the others are images of "
            f"{learned.ratings.source}, too, or other versions of their originals",
            argument="test_on",
        )
    return RatedSet(
        tested.ratings.subset(left), tested.images.subset(left.tolist()), tested.learned, tested.unreadable
    )
