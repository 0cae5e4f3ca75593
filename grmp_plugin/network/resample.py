"""Bicubic resampling of images of 8 bits that never are in memory as floats as a whole.

Both ways give what `torch.nn.functional.interpolate` gives for the float image: with antialiasing bit by bit,
without it bit by bit for small images and within float rounding for large ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALL = 1 << 23  # values of an image that may be floats as a whole: 32 MB, or 2.8 megapixels
# Values that are floats at a time. Larger pieces, in several threads, leave holes in the process's memory.
_PIECE = 1 << 20
_A = -0.75  # of the cubic kernel, as in OpenCV and torch


def resample_pixels(images: Tensor, height: int, width: int, *, antialias: bool) -> Tensor:
    """Resample images, neither clamped nor rounded.

    Args:
        images: (N, C, H, W) uint8.
        height: New height, pixels.
        width: New width, pixels.
        antialias: Low-pass before downscaling.

    Returns:
        (N, C, height, width) float32, 1 for white.
    """
    if antialias:
        return _low_passed(images, height, width)
    if images.numel() <= _SMALL:
        return F.interpolate(images.float() / 255, (height, width), mode="bicubic", align_corners=False)
    return _from_nearest_16(images, height, width)


def _low_passed(images: Tensor, height: int, width: int) -> Tensor:
    """First along the rows, some rows at a time, then along the columns: the order in torch as well."""
    narrow = images.new_empty((*images.shape[:-1], width), dtype=torch.float32)
    rows = max(1, _PIECE // images[..., 0, :].numel())
    for strip, resampled in zip(images.split(rows, dim=-2), narrow.split(rows, dim=-2), strict=True):
        resampled[...] = _interpolate(strip.float() / 255, strip.shape[-2], width)
    return _interpolate(narrow, height, width)


def _interpolate(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bicubic", align_corners=False, antialias=True)


def _from_nearest_16(images: Tensor, height: int, width: int) -> Tensor:
    """Each new pixel from the 4 x 4 pixels around its place; no others are read."""
    rows, down = _taps(images.shape[-2], height, images.device)
    columns, across = _taps(images.shape[-1], width, images.device)
    read = images[..., rows.flatten(), :][..., columns.flatten()].float() / 255
    narrow = (read.unflatten(-1, columns.shape) * across).sum(-1)
    resampled: Tensor = (narrow.unflatten(-2, rows.shape) * down[..., None]).sum(-2)
    return resampled


def _taps(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices and weights (new, 4) of the pixels that each new one is made of, along one side."""
    place = (old / new) * (torch.arange(new, device=device) + 0.5) - 0.5
    left = place.floor()
    indices = (left.long()[:, None] + torch.arange(-1, 3, device=device)).clamp(0, old - 1)
    after = (place - left)[:, None]
    distances = torch.cat([1 + after, after, 1 - after, 2 - after], dim=1)
    near = ((_A + 2) * distances - (_A + 3)) * distances * distances + 1
    far = ((_A * distances - 5 * _A) * distances + 8 * _A) * distances - 4 * _A
    return indices, torch.where(distances <= 1, near, far)
