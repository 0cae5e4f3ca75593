"""Rated images as views: the shots to learn from, and the images to test on."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.data.pixel_room import decoding
from grmp_plugin.errors import ImageError
from grmp_plugin.network.preprocess import make_pixel_views, make_training_views, pixel_tensor
from grmp_plugin.threads import decoding_pool

# Bytes of views that are kept; those of further images are made each time. An image takes 0.15 MB squashed,
# 0.3 MB as eight crops: KonIQ's 10,073 squashed images fit.
_ROOM = 2**31


class RatedViews(Dataset[dict[str, Any]]):
    """Rated images, each as 8-bit views.

    An item has `img` (V, 3, R, R) uint8, `mos_label` (1,) quality in [0, 1], `index`, `img_path`, and
    `pixels_sha256`, the digest of its decoded pixels.

    Args:
        paths: N image files.
        quality: (N,) in [0, 1], 1 = best.
        preprocess: How to make the views.
        training_views: Number of random views to keep per image for training (see `make_training_views`);
            None: the views used for scoring.
        seed: Random seed of the views.
    """

    def __init__(
        self,
        paths: Sequence[str],
        quality: np.ndarray,
        preprocess: PreprocessConfig,
        *,
        training_views: int | None = None,
        seed: int = 0,
    ) -> None:
        self.paths = tuple(paths)
        self.quality = torch.as_tensor(quality, dtype=torch.float32)
        self._preprocess = preprocess
        self._training_views = training_views
        self._seed = seed
        self._kept: dict[int, Tensor] = {}
        self.digests: list[str | None] = [None] * len(self.paths)
        """Digests of the decoded pixels; None for images that were not read yet."""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One image; raises ImageError, which names the file, when it cannot be read."""
        return {
            "img": self.views(index),
            "mos_label": self.quality[index : index + 1],
            "index": index,
            "img_path": self.paths[index],
            "pixels_sha256": self.digests[index],
        }

    def views(self, index: int) -> Tensor:
        """The views of one image: (V, 3, R, R) uint8."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        views = self._make(index)
        # All images have as many bytes.
        if (len(self._kept) + 1) * views.nbytes <= _ROOM:
            self._kept[index] = views
        return views

    def subset(self, chosen: Sequence[int]) -> "RatedViews":
        """Some of the images, for scoring; what is known of them need not be read again.

        Args:
            chosen: Numbers of the images.
        """
        rest = RatedViews(
            [self.paths[i] for i in chosen], self.quality[list(chosen)].numpy(), self._preprocess
        )
        rest.digests = [self.digests[i] for i in chosen]
        rest._kept = {new: self._kept[old] for new, old in enumerate(chosen) if old in self._kept}
        return rest

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Several images: `img` (B, V, 3, R, R), `mos_label` (B, 1) and `index` (B,)."""
        if all(index in self._kept for index in indices):
            views = [self._kept[index] for index in indices]
        else:
            with decoding_pool() as pool:
                views = list(pool.map(self.views, indices))
        return {
            "img": torch.stack(views),
            "mos_label": self.quality[list(indices)][:, None],
            "index": torch.tensor(list(indices)),
        }

    def problems(self) -> Iterator[tuple[int, str | None]]:
        """Try to read all images, in order: each with the reason why it cannot be read, or None."""

        def attempt(index: int) -> str | None:
            try:
                self.views(index)
            except ImageError as error:
                return str(error).removeprefix(f"{self.paths[index]}: ")
            return None

        with decoding_pool() as pool:
            yield from enumerate(pool.map(attempt, range(len(self.paths))))

    def _make(self, index: int) -> Tensor:
        path = self.paths[index]
        # The room is for the pixels, which are gone with this block.
        with decoding() as reserve:
            try:
                pixels = read_image(path, reserve=reserve)
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from error
            if self.digests[index] is None:
                self.digests[index] = pixels_digest(pixels)
            if self._training_views is None:
                views = make_pixel_views(pixels, self._preprocess)[0]
            else:
                views = make_training_views(
                    pixel_tensor(pixels),
                    self._preprocess,
                    self._training_views,
                    self._seed * 1_000_003 + index,
                )
            # Lossless: views are multiples of 1/255.
            return (views * 255).round().to(torch.uint8)
