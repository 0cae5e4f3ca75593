"""A quality map as a picture: colours over the photograph in grey, with a colour bar."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from grmp_plugin.evaluation.quality_map import QualityMap

# Even samples of viridis (Nathaniel Smith and Stefan van der Walt, CC0, https://bids.github.io/colormap/):
# perceptually uniform, also for colour-blind readers and in greyscale print.
_VIRIDIS = (
    (0x44, 0x01, 0x54),
    (0x47, 0x2D, 0x7B),
    (0x3B, 0x52, 0x8B),
    (0x2C, 0x72, 0x8E),
    (0x21, 0x91, 0x8C),
    (0x28, 0xAE, 0x80),
    (0x5E, 0xC9, 0x62),
    (0xAD, 0xDC, 0x30),
    (0xFD, 0xE7, 0x25),
)
_PAPER, _INK = (255, 255, 255), (34, 34, 34)
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Opacity of the colours. The photograph below has less contrast, so that its light and dark are not mistaken
# for the map's.
_OPACITY = 0.65
_DARKEST, _BRIGHTEST = 48, 208
_LEAST_WIDTH = 320  # pixels, for the captions
# Height of the picture relative to its width: long strips would be gigantic, or a mere line.
_LOWEST, _HIGHEST = 0.05, 4.0


def overlay(image: np.ndarray, quality: QualityMap, width: int = 640) -> Image.Image:
    """Lay a map over its photograph, with a colour bar below.

    The colours always span 0 to 1, so that pictures can be compared; a bracket at the colour bar marks the
    range of this map.

    Args:
        image: (H, W, 3) uint8 RGB, the image of the map.
        quality: The map.
        width: Width of the picture, pixels; at least 320.

    Returns:
        RGB, `width` wide; the height follows the shape of the photograph.
    """
    width = max(width, _LEAST_WIDTH)
    height = round(width * min(max(quality.height / quality.width, _LOWEST), _HIGHEST))
    grey = (
        Image.fromarray(image).convert("L").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
    )
    values = Image.fromarray(quality.values.astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    laid = _colours(np.asarray(values), np.asarray(grey) / 255)
    scale = _scale(width, float(quality.values.min()), float(quality.values.max()))
    picture = Image.new("RGB", (width, height + scale.height), _PAPER)
    picture.paste(Image.fromarray(laid), (0, 0))
    picture.paste(scale, (0, height))
    return picture


def _colours(values: NDArray[np.floating], grey: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours (..., 3) of values in [0, 1], laid over grey in [0, 1]."""
    anchors = np.linspace(0, 1, len(_VIRIDIS))
    colours = [np.interp(values, anchors, channel) for channel in zip(*_VIRIDIS, strict=True)]
    below = _DARKEST + (_BRIGHTEST - _DARKEST) * grey
    laid = _OPACITY * np.stack(colours, axis=-1) + (1 - _OPACITY) * below[..., None]
    return np.rint(laid).astype(np.uint8)


def _scale(width: int, lowest: float, highest: float) -> Image.Image:
    """The colour bar: captions above, numbers below, and a bracket for the range of this map."""
    size = max(12, round(width / 34))
    font = ImageFont.load_default(size)
    margin, bar = 2 * size, size
    start, end = margin, width - margin
    caption, mark, top = size // 2, 2 * size, 2 * size + size // 2
    picture = Image.new("RGB", (width, top + bar + 2 * size + size // 2), _PAPER)
    draw = ImageDraw.Draw(picture)

    def across(value: float) -> float:
        return start + value * (end - start - 1)

    draw.text((start, caption), "low quality", _INK, font)
    draw.text((end, caption), "high quality", _INK, font, anchor="ra")
    middle = f"here {lowest:.2f} to {highest:.2f}"
    draw.text(((start + end) / 2, caption), middle, _INK, font, anchor="ma")
    # Over middle grey, as the colours look on a photograph.
    colours = _colours(np.linspace(0, 1, end - start), np.full(end - start, 0.5))
    picture.paste(Image.fromarray(np.tile(colours, (bar, 1, 1))), (start, top))
    line = max(1, size // 8)
    left, right = across(lowest), across(highest)
    draw.line([(left, top - 1), (left, mark), (right, mark), (right, top - 1)], _INK, line)
    for tick in _TICKS:
        draw.line([(across(tick), top + bar), (across(tick), top + bar + size // 3)], _INK, line)
        draw.text((across(tick), top + bar + size // 2), f"{tick:g}", _INK, font, anchor="ma")
    return picture
