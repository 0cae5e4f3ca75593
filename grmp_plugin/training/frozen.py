"""Outputs of the frozen part of the networks for the shots, computed once where they do not change.

Patch embedding and teacher do not change during few-shot adaptation. Where the training views are a few
crops of each shot, their tokens and the teacher's scene logits are the same each time a crop is drawn.

The image blocks before the first one that learns do not change either, but the prompts' dropout does, with
every step. With a fixed number of kept views per image, each with its dropout in these blocks, the tokens
that enter the first block that learns are the same each time a view is picked.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.training.teacher import Teacher
from grmp_plugin.training.views import draw_crops, pick_views

# Bytes of cached tokens; further ones are computed each time. 16 views of 50 images take 0.48 GB at ViT-B/16.
_ROOM = 2**30
# Apart enough that different images and views never have the same seed.
_SEEDS_APART = 1_000_003


class Shown(NamedTuple):
    """A batch after the frozen part.

    Attributes:
        tokens: (B, 1 + patches, width).
        scenes: (B, scenes) scene logits of the teacher; None without a teacher.
        block: Index of the image block that the tokens enter.
    """

    tokens: Tensor
    scenes: Tensor | None
    block: int = 0


class FrozenPart:
    """Patch embedding and teacher; with kept views also the image blocks that do not learn.

    Args:
        network: The student.
        teacher: None without regularization.
        block: Index of the first image block that learns.
        kept_views: Number of views per image, each with its dropout; None: new ones in every step.
        seed: Random seed of the kept views.

    Attributes:
        kept_views: As given.
    """

    def __init__(
        self,
        network: GRMPIQA,
        teacher: Teacher | None,
        *,
        block: int = 0,
        kept_views: int | None = None,
        seed: int = 0,
    ) -> None:
        self._network = network
        self._teacher = teacher
        self._block = block
        self.kept_views = kept_views
        self._seed = seed
        self._cached: dict[tuple[int, int | None], Shown] = {}
        self._fits: int | None = None  # entries that fit into the cache; known after the first one

    def share(self, other: "FrozenPart") -> None:
        """Use the cache of another training of the same start on the same shots, and fill it."""
        if (self._block, self.kept_views, self._seed) == (other._block, other.kept_views, other._seed):
            self._cached = other._cached

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
        if numbers is not None and self.kept_views is not None:
            picked = torch.randint(self.kept_views, (len(images),), generator=generator).tolist()
            return _stacked(
                [self._kept_view(n, v, views) for n, v, views in zip(numbers, picked, images, strict=True)]
            )
        if numbers is None or config.kind != "crops":
            return self._compute(pick_views(images, config, generator))
        chosen, flipped = draw_crops(len(images), images.shape[1], generator)
        places = (2 * chosen + flipped).tolist()
        # All views of an image are computed together: the last bits may depend on the rest of the batch, and
        # must not depend on when a training was interrupted.
        all_views = [self._image(n, views) for n, views in zip(numbers, images, strict=True)]
        return _stacked([_at(shown, place) for shown, place in zip(all_views, places, strict=True)])

    def _image(self, number: int, views: Tensor) -> Shown:
        """Every crop of one image, each as it is and flipped."""
        found = self._cached.get((number, None))
        if found is None:
            found = self._compute(torch.stack([views, views.flip(-1)], dim=1).flatten(0, 1))
            self._keep((number, None), found)
        return found

    def _kept_view(self, number: int, view: int, views: Tensor) -> Shown:
        """One view of one image, passed through the blocks that do not learn with dropout of its own."""
        found = self._cached.get((number, view))
        if found is None:
            # One by one, so that nothing depends on the rest of the batch.
            seed = ((self._seed * _SEEDS_APART + number) * _SEEDS_APART + view) % 2**63
            generator = torch.Generator().manual_seed(seed)
            found = self._compute(pick_views(views[None], self._network.config.preprocess, generator))
            device = found.tokens.device
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(seed)
                self._network.visual_prompts.train()
                tokens = self._network.pass_first_blocks(found.tokens, self._block)
            found = _at(Shown(tokens, found.scenes, self._block), 0)
            self._keep((number, view), found)
        return found

    def _keep(self, key: tuple[int, int | None], shown: Shown) -> None:
        if self._fits is None:
            self._fits = _ROOM // shown.tokens.nbytes
        if len(self._cached) < self._fits:
            self._cached[key] = shown

    def _compute(self, views: Tensor) -> Shown:
        floats = views.float() / 255 if views.dtype == torch.uint8 else views
        tokens = self._network.tokens(normalize(floats, self._network.config.preprocess))
        return Shown(tokens, None if self._teacher is None else self._teacher(tokens))


def _at(shown: Shown, place: int) -> Shown:
    scenes = None if shown.scenes is None else shown.scenes[place]
    return Shown(shown.tokens[place], scenes, shown.block)


def _stacked(parts: Sequence[Shown]) -> Shown:
    scenes = [part.scenes for part in parts if part.scenes is not None]
    tokens = torch.stack([part.tokens for part in parts])
    return Shown(tokens, torch.stack(scenes) if scenes else None, parts[0].block)
