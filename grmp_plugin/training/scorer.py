"""Scores rated images again and again, with the frozen part of the network run once for each image.

Few-shot adaptation changes nothing before the first image block that it learns. So the start, and every
network that was adapted from it, make the same tokens of an image there, and only what follows needs to run
again. (In training it is not so: the prompts' dropout reaches every block.)
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.learned import first_learned_block, tensors_before
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.training.rated_views import DECODERS, RatedViews

# Bytes of tokens to remember; those of further images are computed each time. At ViT-B/16 an image takes
# 0.6 MB.
_ROOM = 2**30
_BATCH = 16  # images scored together


class RatedScorer:
    """Scores rated images, and remembers the tokens that enter the first block that learns.

    Whether they are a network's own is seen from its weights: those that come before, one by one. A network
    that differs there gets its own tokens, and those remembered so far are dropped.

    Args:
        images: with scoring views.
    """

    def __init__(self, images: RatedViews) -> None:
        self._images = images
        self._tokens: dict[int, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._fits: int | None = None  # how many images; known once the first one has been embedded

    def scores(
        self,
        network: GRMPIQA,
        indices: Sequence[int],
        on_image: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Scores of some of the images.

        Args:
            network: is put into evaluation mode.
            indices: (N,) which of them.
            on_image: told how many are done.

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
                scores.append(network.score_tokens(tokens, first_learned_block(network))[:, 0].double().cpu())
                on_image(min(first + _BATCH, len(indices)))
        return torch.cat(scores).numpy()

    @torch.inference_mode()
    def embed(self, network: GRMPIQA, indices: Sequence[int]) -> list[Tensor]:
        """What is remembered of images, computed: for each (V, 1 + patches, width), on the CPU."""
        network.eval()
        device = network.clip.logit_scale.device
        config, block = network.config.preprocess, first_learned_block(network)
        with ThreadPoolExecutor(DECODERS, thread_name_prefix="grmp-decode") as pool:
            # Image by image: the last bits may depend on what else is in a batch.
            return [
                network.tokens_at(normalize(views.to(device).float() / 255, config), block).cpu()
                for views in pool.map(self._images.views, indices)
            ]

    def embeddings_ahead(self, indices: Sequence[int], times: int) -> int:
        """How often an image will have to be embedded, for scoring some of them so many times."""
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
        """Forget what was computed with other weights."""
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
