"""What the frozen part of the networks makes of the shots; of crops, computed once and remembered.

Neither patch embedding nor teacher changes while few-shot adaptation runs. Where the training views are
a few crops of each shot, their tokens and the teacher's scenes are the same whenever they come up again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.training.teacher import Teacher
from grmp_plugin.training.views import draw_crops, pick_views

# Bytes of tokens to remember; shots beyond are computed each time they come up.
_ROOM = 2**29


class Shown(NamedTuple):
    """A batch as its frozen part shows it: tokens (B, 1 + patches, width), and the teacher's scene logits
    (B, scenes), None without a teacher.
    """

    tokens: Tensor
    scenes: Tensor | None


class FrozenPart:
    """Patch embedding and teacher.

    Args:
        network: the student.
        teacher: None where nothing is regularized.
    """

    def __init__(self, network: GRMPIQA, teacher: Teacher | None) -> None:
        self._network = network
        self._teacher = teacher
        self._remembered: dict[int, Shown] = {}

    @torch.no_grad()
    def show(self, images: Tensor, numbers: Sequence[int] | None, generator: torch.Generator) -> Shown:
        """One random view of each image.

        Args:
            images: (B, V, 3, R, R) training views, or (B, 3, R, R) for one of each, 8 bit or in [0, 1].
            numbers: which image of the data set each one is, so that it can be remembered; or None.
            generator: source of randomness, on the CPU.

        Raises:
            InputError: when the images are smaller than a view.
        """
        images = images if images.ndim == 5 else images.unsqueeze(1)
        config = self._network.config.preprocess
        if numbers is None or config.kind != "crops":
            return self._compute(pick_views(images, config, generator))
        chosen, flipped = draw_crops(len(images), images.shape[1], generator)
        places = 2 * chosen + flipped
        # All views of an image together: what they give may depend, in the last bits, on what else is in
        # the batch, and must not depend on when training was interrupted.
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
