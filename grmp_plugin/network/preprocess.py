"""From images of any size to the square views that the network sees: one implementation for all uses.

The resampling is OpenCV's `INTER_CUBIC` (a = -0.75, no antialiasing), which the authors used, in torch:
clamped, and rounded to 8 bits with a straight-through gradient. It agrees with OpenCV within one level.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.errors import ImageError
from grmp_plugin.network.resample import resample_pixels


def make_views(images: Tensor, config: PreprocessConfig) -> Tensor:
    """Cut every image into the network's views.

    Args:
        images: (N, 3 or 1, H, W), float, RGB in [0, 1]; H, W >= 1. Grey is expanded to RGB.
        config: Which views.

    Returns:
        (N, V, 3, S, S) in [0, 1], not yet normalised; differentiable.

    Raises:
        ImageError: When `images` is not such a tensor.
    """
    return _views(_as_rgb(images), config)


def make_pixel_views(pixels: np.ndarray, config: PreprocessConfig) -> Tensor:
    """The views of one decoded image, without a float copy of the whole image in memory.

    Args:
        pixels: (H, W, 3) uint8, RGB; H, W >= 1.
        config: Which views.

    Returns:
        (1, V, 3, S, S) in [0, 1]: what `make_views` returns for `pixels / 255`, within float rounding.

    Raises:
        ImageError: When the image has no pixels.
    """
    images = pixel_tensor(pixels)
    if 0 in images.shape:
        raise ImageError(f"an image has no pixels: {pixels.shape}")
    return _views(images, config)


def pixel_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) uint8, in the same memory where possible."""
    # Copied only where torch cannot share it: read-only, or turned by a view.
    shared = np.require(pixels, requirements=["C", "W"])
    return torch.from_numpy(shared).permute(2, 0, 1).unsqueeze(0)


def as_float(images: Tensor) -> Tensor:
    """Values in [0, 1] of images of 8 bits; float images as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _views(images: Tensor, config: PreprocessConfig) -> Tensor:
    if config.kind == "squash":
        views = [_centre(as_float(resize(images, config.resize, config.resize)), config.size)]
    else:
        views = _pyramid_crops(images, config, lambda level, size: _crops(level, size, config.grid))
    return torch.stack(views, dim=1)


def make_training_views(image: Tensor, config: PreprocessConfig, count: int, seed: int) -> Tensor:
    """Views of one image for training; each training step draws one at random.

    Args:
        image: (1, 3 or 1, H, W), float, RGB in [0, 1]; or (1, 3, H, W) uint8, never made a float copy of.
        config: Which views.
        count: For `crops`: cut at least this many views, the same number at each scale.
        seed: Seed for the positions of the crops.

    Returns:
        `squash`: (1, 3, R, R), the squashed image, from which each step cuts a crop.
        `crops`: (V, 3, S, S), random crops at the scales used for scoring.

    Raises:
        ImageError: When `image` is not such a tensor.
    """
    if image.dtype != torch.uint8:
        image = _as_rgb(image)
    if config.kind == "squash":
        return as_float(resize(image, config.resize, config.resize))
    rng = np.random.default_rng(seed)
    each = -(-count // len(config.scales))

    def cut(level: Tensor, size: int) -> list[Tensor]:
        height, width = level.shape[-2:]
        places = rng.integers(0, (height - size + 1, width - size + 1), (each, 2))
        return [level[..., top : top + size, left : left + size] for top, left in places]

    return torch.cat(_pyramid_crops(image, config, cut))


def normalize(views: Tensor, config: PreprocessConfig) -> Tensor:
    """Subtract the mean of each channel and divide by its standard deviation."""
    mean = torch.tensor(config.mean, dtype=views.dtype, device=views.device).view(3, 1, 1)
    std = torch.tensor(config.std, dtype=views.dtype, device=views.device).view(3, 1, 1)
    return (views - mean).div_(std)


def _as_rgb(images: Tensor) -> Tensor:
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] not in (1, 3):
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ImageError(f"expected images as a tensor (N, 3, H, W), found {shape}")
    if not images.is_floating_point():
        raise ImageError(
            f"expected a float tensor in [0, 1], found {images.dtype}: divide 8-bit values by 255"
        )
    if 0 in images.shape[1:]:
        raise ImageError(f"an image has no pixels: {tuple(images.shape)}")
    # float16 and bfloat16 cannot hold steps of 1/255 near 1.
    return images.to(torch.promote_types(images.dtype, torch.float32)).expand(-1, 3, -1, -1)


def resize(images: Tensor, height: int, width: int, *, antialias: bool = False) -> Tensor:
    """Bicubic resampling, clamped and rounded to 8 bits, with a straight-through gradient.

    Args:
        images: (N, C, H, W), float32 or float64 in [0, 1]; or uint8, which become float bit by bit.
        height: New height, pixels.
        width: New width, pixels.
        antialias: Low-pass before downscaling; OpenCV's `INTER_CUBIC` does not.

    Returns:
        (N, C, height, width), float in [0, 1]; the input itself if it has that size.
    """
    if images.shape[-2:] == (height, width):
        return images
    if images.dtype == torch.uint8:
        x = resample_pixels(images, height, width, antialias=antialias)
    else:
        x = F.interpolate(images, (height, width), mode="bicubic", align_corners=False, antialias=antialias)
    # The gradient passes the clamping, too: white pixels overshoot 1 slightly and would get none.
    return x + (torch.round(x.detach().clamp(0, 1) * 255) / 255 - x.detach())


def _centre(images: Tensor, size: int) -> Tensor:
    top, left = ((side - size) // 2 for side in images.shape[-2:])
    return images[..., top : top + size, left : left + size]


def _pyramid_crops(
    images: Tensor, config: PreprocessConfig, cut: Callable[[Tensor, int], list[Tensor]]
) -> list[Tensor]:
    """Square crops of side `config.size` from all scales; `cut` cuts crops of a given side from one level."""
    height, width = images.shape[-2:]
    reduce = min(1.0, config.short_side / min(height, width))
    views = []
    for scale in config.scales:
        factor = reduce * scale
        if min(height, width) * factor > config.size:
            level = resize(images, round(height * factor), round(width * factor), antialias=factor < 1)
            views += [as_float(view) for view in cut(level, config.size)]
        else:
            # At this level a view spans the whole short side. Cut before enlarging: a long thin image
            # enlarged as a whole would be gigantic.
            antialias = min(height, width) > config.size
            views += [
                as_float(resize(crop, config.size, config.size, antialias=antialias))
                for crop in cut(images, min(height, width))
            ]
    return views


def _crops(images: Tensor, size: int, grid: int) -> list[Tensor]:
    """`grid` x `grid` square crops, evenly spaced, half a step from the borders."""
    tops, lefts = (
        [round((side - size) * (2 * i + 1) / (2 * grid)) for i in range(grid)] for side in images.shape[-2:]
    )
    return [images[..., top : top + size, left : left + size] for top in tops for left in lefts]
