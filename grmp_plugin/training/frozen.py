"""Outputs of the frozen part of the networks for the shots; for crops, computed once and cached.

Patch embedding and teacher do not change during few-shot adaptation. Where the training views are a few
crops of each shot, their tokens and the teacher's scene logits are the same each time a crop is drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.training.teacher import Teacher
from grmp_plugin.training.views import draw_crops, pick_views

# Bytes of cached tokens; further shots are computed each time they are drawn.
_ROOM = 2**29


class Shown(NamedTuple):
    """A batch after the frozen part.

    Attributes:
        tokens: (B, 1 + patches, width).
        scenes: (B, scenes) scene logits of the teacher; None without a teacher.
    """

    tokens: Tensor
    scenes: Tensor | None


class FrozenPart:
    """Patch embedding and teacher.

    Args:
        network: The student.
        teacher: None without regularization.
    """

    def __init__(self, network: GRMPIQA, teacher: Teacher | None) -> None:
        self._network = network
        self._teacher = teacher
        self._remembered: dict[int, Shown] = {}

    def share(self, other: "FrozenPart") -> None:
        """Use the cache of another training of the same start on the same shots, and fill it."""
        self._remembered = other._remembered

    @torch.no_grad()
    def show(self, images: Tensor, numbers: Sequence[int] | None, generator: torch.Generator) -> Shown:
        """Embed one random view of each image.

        Args:
            images: (B, V, 3, R, R) training views, or (B, 3, R, R) for one view each; 8 bit or in [0, 1].
            numbers: Number of each image in its data set, as key of the cache; None: no caching.
            generator: Source of randomness, on the CPU.

        Raises:
            InputError: When the images are smaller than a view.
        """
        images = images if images.ndim == 5 else images.unsqueeze(1)
        config = self._network.config.preprocess
        if numbers is None or config.kind != "crops":
            return self._compute(pick_views(images, config, generator))
        chosen, flipped = draw_crops(len(images), images.shape[1], generator)
        places = 2 * chosen + flipped
        # All views of an image are computed together: the last bits may depend on the rest of the batch, and
        # must not depend on when a training was interrupted.
        all_views = [self._image(n, views) for n, views in zip(numbers, images, strict=True)]
        scenes = [s.scenes[p] for s, p in zip(all_views, places, strict=True) if s.scenes is not None]
        return Shown(
            torch.stack([s.tokens[p] for s, p in zip(all_views, places, strict=True)]),
            torch.stack(scenes) if scenes else None,
        )

    def _image(self, number: int, views: Tensor) -> Shown:
        """Every crop of one image, each as it is and flipped."""
        found = self._remembered.get(number)
        if found is None:
            found = self._compute(torch.stack([views, views.flip(-1)], dim=1).flatten(0, 1))
            size = found.tokens.numel() * found.tokens.element_size()
            if (len(self._remembered) + 1) * size <= _ROOM:
                self._remembered[number] = found
        return found

    def _compute(self, views: Tensor) -> Shown:
        floats = views.float() / 255 if views.dtype == torch.uint8 else views
        tokens = self._network.tokens(normalize(floats, self._network.config.preprocess))
        return Shown(tokens, None if self._teacher is None else self._teacher(tokens))
