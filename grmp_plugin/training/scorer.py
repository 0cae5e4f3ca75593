"""Scores rated images repeatedly, running the frozen part of the network once per image.

Few-shot adaptation changes nothing before the first image block that it learns. The start and every network
adapted from it therefore compute the same tokens up to that block, and only the rest runs again. (In
training this does not hold: the prompts' dropout reaches every block.)
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.learned import first_learned_block, tensors_before
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.threads import decoding_pool
from grmp_plugin.training.rated_views import RatedViews

# Bytes of cached tokens; those of further images are computed each time. At ViT-B/16 an image takes 0.6 MB.
_ROOM = 2**30
_BATCH = 16  # images scored together


class RatedScorer:
    """Scores rated images, and caches the tokens that enter the first block that learns.

    Whether cached tokens are those of a network is decided by comparing all weights before that block; when
    any differs, the cache is emptied.

    Args:
        images: Rated images with scoring views.
    """

    def __init__(self, images: RatedViews) -> None:
        self._images = images
        self._tokens: dict[int, Tensor] = {}
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
        network.eval()
        self._check(network)
        device = network.clip.logit_scale.device
        scores: list[Tensor] = [torch.empty(0, dtype=torch.float64)]
        with torch.inference_mode():
            for first in range(0, len(indices), _BATCH):
                tokens = self._tokens_of(network, indices[first : first + _BATCH]).to(device)
                score = network.score_tokens(tokens, first_learned_block(network))[:, 0]
                scores.append(score.cpu().double())  # MPS has no float64
                on_image(min(first + _BATCH, len(indices)))
        return torch.cat(scores).numpy()

    @torch.inference_mode()
    def embed(self, network: GRMPIQA, indices: Sequence[int]) -> list[Tensor]:
        """Compute the tokens of images, without the cache: (V, 1 + patches, width) each, on the CPU."""
        network.eval()
        device = network.clip.logit_scale.device
        config, block = network.config.preprocess, first_learned_block(network)
        with decoding_pool() as pool:
            # Image by image: the last bits may depend on the rest of a batch.
            return [
                network.tokens_at(normalize(views.to(device).float() / 255, config), block).cpu()
                for views in pool.map(self._images.views, indices)
            ]

    def embeddings_ahead(self, indices: Sequence[int], times: int) -> int:
        """Number of embeddings that scoring these images so many times will take."""
        new = sum(number not in self._tokens for number in indices)
        room = new if self._fits is None else self._fits - len(self._tokens)
        return new + (times - 1) * max(0, new - room)

    def _tokens_of(self, network: GRMPIQA, indices: Sequence[int]) -> Tensor:
        new = [number for number in dict.fromkeys(indices) if number not in self._tokens]
        found = dict(zip(new, self.embed(network, new), strict=True))
        for number, tokens in found.items():
            self._fits = _ROOM // (tokens.numel() * tokens.element_size())
            if len(self._tokens) < self._fits:
                self._tokens[number] = tokens
        return torch.stack([found[i] if i in found else self._tokens[i] for i in indices])

    def _check(self, network: GRMPIQA) -> None:
        """Empty the cache if it was computed with other weights."""
        weights = tensors_before(network, first_learned_block(network))
        if _same(weights, self._weights):
            return
        self._tokens.clear()
        self._weights = {name: tensor.detach().clone() for name, tensor in weights.items()}


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        tensor.shape == second[name].shape
        and tensor.device == second[name].device
        and torch.equal(tensor, second[name])
        for name, tensor in first.items()
    )
