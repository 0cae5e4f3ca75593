"""Scores rated images repeatedly, running the frozen part of the network once per image.

Few-shot adaptation changes nothing before the first image block that it learns. The start and every network
adapted from it therefore compute the same tokens up to that block, and only the rest runs again. (In
training this does not hold: the prompts' dropout reaches every block.)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs
from grmp_plugin.network.learned import first_learned_block, tensors_before
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.threads import decoding_pool
from grmp_plugin.training.rated_views import RatedViews

# Bytes of cached tokens; those of further images are computed each time. At ViT-B/16 an image takes 0.6 MB.
_ROOM = 2**30
_BATCH = 16  # images scored together


class Embedded(NamedTuple):
    """What enters the part of the network that learns, of one image.

    Attributes:
        tokens: (V, 1 + patches, width), on the CPU.
        statistics: (G,) standardised statistics of the trunk, mean over views; None without a trunk.
    """

    tokens: Tensor
    statistics: Tensor | None

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.tokens.nbytes + (0 if self.statistics is None else self.statistics.nbytes)


class RatedScorer:
    """Scores rated images, and caches the tokens that enter the first block that learns.

    Whether cached tokens are those of a network is decided by comparing all weights before that block; when
    any differs, the cache is emptied.

    Args:
        images: Rated images with scoring views.
    """

    def __init__(self, images: RatedViews) -> None:
        self._images = images
        self._embedded: dict[int, Embedded] = {}
        self._weights: dict[str, Tensor] = {}
        self._fits: int | None = None  # images that fit into the cache; known after the first one

    def scores(
        self,
        network: GRMPIQA,
        indices: Sequence[int],
        on_image: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Scores of some of the images.

        Args:
            network: Put into evaluation mode.
            indices: (N,) numbers of the images.
            on_image: Called with the number of images done.

        Returns:
            (N,) in [0, 1].
        """
        scores: list[Tensor] = [torch.empty(0, dtype=torch.float64)]
        with torch.inference_mode():
            for tokens, statistics in self._batches(network, indices, on_image):
                block = first_learned_block(network)
                score = network.score_tokens(tokens, block, statistics=statistics)[:, 0]
                scores.append(score.cpu().double())  # MPS has no float64
        return torch.cat(scores).numpy()

    @torch.inference_mode()
    def head_inputs(self, network: GRMPIQA, indices: Sequence[int]) -> HeadInputs:
        """What a linear head reads of some of the images, as float64 on the CPU.

        Args:
            network: Put into evaluation mode.
            indices: (N,) numbers of the images.
        """
        block = first_learned_block(network)
        found = [
            network.head_inputs(tokens, block, statistics=statistics)
            for tokens, statistics in self._batches(network, indices, lambda done: None)
        ]
        statistics = [each.statistics for each in found if each.statistics is not None]
        return HeadInputs(
            _joined([each.logit for each in found]),
            _joined([each.features for each in found]),
            _joined(statistics) if statistics else None,
        )

    @torch.inference_mode()
    def embed(self, network: GRMPIQA, indices: Sequence[int]) -> list[Embedded]:
        """Compute what enters the part that learns, without the cache."""
        device, block = network.clip.logit_scale.device, first_learned_block(network)
        network.eval()
        return [
            Embedded(network.pass_first_blocks(each.tokens.to(device), block).cpu(), each.statistics)
            for each in self.entering(network, indices)
        ]

    @torch.inference_mode()
    def entering(self, network: GRMPIQA, indices: Sequence[int]) -> Iterator[Embedded]:
        """Compute what enters the first image block, image by image."""
        network.eval()
        device, config = network.clip.logit_scale.device, network.config.preprocess
        with decoding_pool() as pool:
            # Image by image: the last bits may depend on the rest of a batch.
            for views in pool.map(self._images.views, indices):
                tokens, statistics = network.embed(normalize(views.to(device).float() / 255, config))
                mean = None if statistics is None else statistics.mean(0).cpu()
                yield Embedded(tokens.cpu(), mean)

    def embeddings_ahead(self, indices: Sequence[int], times: int) -> int:
        """Number of embeddings that scoring these images so many times will take."""
        new = sum(number not in self._embedded for number in indices)
        room = new if self._fits is None else self._fits - len(self._embedded)
        return new + (times - 1) * max(0, new - room)

    def _batches(
        self, network: GRMPIQA, indices: Sequence[int], on_image: Callable[[int], None]
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Tokens (B, V, 1 + patches, width) and statistics (B, G) of the images, on the network's device."""
        network.eval()
        self._check(network)
        device = network.clip.logit_scale.device
        for first in range(0, len(indices), _BATCH):
            found = self._embedded_of(network, indices[first : first + _BATCH])
            statistics = [each.statistics for each in found if each.statistics is not None]
            yield (
                torch.stack([each.tokens for each in found]).to(device),
                torch.stack(statistics).to(device) if statistics else None,
            )
            on_image(min(first + _BATCH, len(indices)))

    def _embedded_of(self, network: GRMPIQA, indices: Sequence[int]) -> list[Embedded]:
        new = [number for number in dict.fromkeys(indices) if number not in self._embedded]
        found = dict(zip(new, self.embed(network, new), strict=True))
        for number, embedded in found.items():
            self._fits = _ROOM // embedded.nbytes
            if len(self._embedded) < self._fits:
                self._embedded[number] = embedded
        return [found[i] if i in found else self._embedded[i] for i in indices]

    def _check(self, network: GRMPIQA) -> None:
        """Empty the cache if it was computed with other weights."""
        weights = tensors_before(network, first_learned_block(network))
        if _same(weights, self._weights):
            return
        self._embedded.clear()
        self._weights = {name: tensor.detach().clone() for name, tensor in weights.items()}


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)).cpu().double()


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        tensor.shape == second[name].shape
        and tensor.device == second[name].device
        and torch.equal(tensor, second[name])
        for name, tensor in first.items()
    )
