"""Everything else: close textures, walls, occluding leaves, printed pages, abstract graphics."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .colour import anything, hsv, mix, near, ramp, rgb
from .noise import Rng

_KINDS = (
    "brick",
    "gravel",
    "grass",
    "fabric",
    "discs",
    "mixed",
    "page",
    "graphic",
    "bark",
    "wood",
    "tiles",
    "leaves",
    "stone",
)


def draw_others(canvas: Canvas, rng: Rng) -> None:  # noqa: PLR0912 - one branch for each material
    """Draw one texture, page or graphic over the whole canvas."""
    h, w, u, light = canvas.height, canvas.width, canvas.unit, canvas.light
    kind = str(rng.choice(_KINDS))
    first, second = anything(rng, 0.4), anything(rng, 0.4)
    if kind == "brick":
        mortar = near(rng, 0.1, 0.1, 0.65)
        picture = textures.masonry(
            rng, h, w, near(rng, 0.03, 0.5, 0.5), mortar, u * rng.uniform(0.04, 0.14), light
        )
    elif kind == "tiles":
        picture = textures.masonry(
            rng, h, w, first, rgb(0.8, 0.8, 0.78), u * rng.uniform(0.07, 0.2), light, 1.0
        )
    elif kind == "gravel":
        stones = (near(rng, 0.08, 0.2, 0.35), near(rng, 0.6, 0.08, 0.55), near(rng, 0.1, 0.2, 0.8))
        picture = textures.gravel(rng, h, w, stones, u * rng.uniform(0.015, 0.12), light)
    elif kind == "grass":
        greens = outdoors.foliage_colours(rng)
        canvas.image[:] = textures.stone(rng, h, w, greens[0], greens[1], light)
        textures.grass_blades(canvas, rng, -h * 0.5, greens, u * rng.uniform(0.08, 0.3))
        picture = canvas.image
    elif kind == "fabric":
        picture = textures.fabric(rng, h, w, (first, second), u * rng.uniform(0.004, 0.014))
        folds = noise.spectral(rng, h, w, 2.4, coarse=4)
        picture = picture * (1 + folds * np.float32(rng.uniform(0.02, 0.18)))[:, :, None]
    elif kind in ("discs", "mixed"):
        palette = np.stack([anything(rng, 0.45) for _ in range(int(rng.integers(4, 12)))])
        picture = textures.dead_leaves(
            rng, h, w, palette, u * rng.uniform(0.004, 0.02), "disc" if kind == "discs" else "mixed"
        )
    elif kind == "page":
        picture = textures.page(rng, h, w, u * rng.uniform(0.035, 0.1))
    elif kind == "graphic":
        picture = _graphic(canvas, rng)
    elif kind == "bark":
        picture = textures.bark(rng, h, w, near(rng, 0.07, 0.3, 0.5), u * rng.uniform(0.012, 0.05), light)
    elif kind == "wood":
        picture = textures.wood(rng, h, w, near(rng, 0.08, 0.45, 0.6), u * rng.uniform(0.08, 0.4))
    elif kind == "leaves":
        greens = outdoors.foliage_colours(rng)
        picture = textures.leaves(rng, h, w, greens, u * rng.uniform(0.04, 0.2), light)
    else:
        picture = textures.stone(rng, h, w, first * np.float32(0.6), first, light)
    canvas.image[:] = picture
    if kind not in ("grass", "leaves", "graphic") and rng.uniform() < 0.4:
        _tilt(canvas, rng)
    fall = noise.smooth(rng, h, w, 1.5) * np.float32(rng.uniform(0, 0.25))
    canvas.image *= np.maximum(1 + fall, 0.3)[:, :, None]
    if rng.uniform() < 0.3:
        shade = shapes.blob(rng, rng.uniform(0, w), rng.uniform(0, h), u * 0.6, u * 0.4, 0.5)
        canvas.shadow(shade, u * rng.uniform(0.003, 0.03), rng.uniform(0.2, 0.5))


def _tilt(canvas: Canvas, rng: Rng) -> None:
    """Look at the surface obliquely."""
    h, w = canvas.height, canvas.width
    corners = shapes.rectangle(-0.02 * w, -0.02 * h, 1.02 * w, 1.02 * h)
    reach = rng.uniform(0.02, 0.45)
    side = int(rng.integers(0, 4))
    grow = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [w * reach, h * reach]
    for corner in (side, (side + 1) % 4):
        corners[corner] += grow[corner]
    canvas.warp_onto(corners, canvas.image.copy())


def _graphic(canvas: Canvas, rng: Rng) -> np.ndarray:
    """Abstract art: gradients, shapes, lines and letters in few colours."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    palette = [anything(rng, 0.7) for _ in range(5)]
    field = noise.unit_range(noise.smooth(rng, h, w, rng.uniform(1, 4)), 0.8)
    canvas.image[:] = ramp(field, palette[0], palette[1])
    if rng.uniform() < 0.3:
        canvas.image[:] = palette[0]
    for _ in range(int(rng.integers(4, 30))):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), u * rng.uniform(0.02, 0.3)
        kind = int(rng.integers(0, 4))
        if kind == 0:
            outline = shapes.ellipse(x, y, r, r)
        elif kind == 1:
            outline = shapes.blob(rng, x, y, r, r, 0.5)
        elif kind == 2:
            outline = shapes.rectangle(x - r, y - r * rng.uniform(0.1, 1), x + r, y + r * 0.3)
        else:
            path = shapes.curve(np.array([[x, y]]) + rng.normal(0, r * 2, (4, 2)))
            outline = shapes.tube(path, np.full(24, u * rng.uniform(0.003, 0.05)))
        if rng.uniform() < 0.3:
            canvas.shadow(outline, u * 0.015, 0.4, (u * 0.01, u * 0.012))
        canvas.fill(
            outline,
            palette[int(rng.integers(0, 5))],
            bulge=float(rng.choice([0, 0, 0.6])),
            alpha=rng.uniform(0.7, 1),
        )
    if rng.uniform() < 0.4:
        text = textures.page(rng, h, w, u * rng.uniform(0.05, 0.2))
        x0, y0 = rng.uniform(0, 0.5) * w, rng.uniform(0, 0.5) * h
        canvas.fill(
            shapes.rectangle(x0, y0, x0 + w * 0.5, y0 + h * 0.4), mix(text, hsv(rng.uniform(), 0.5, 0.9), 0.2)
        )
    paper = 1 + noise.spectral(rng, h, w, 0.9) * np.float32(rng.uniform(0.0, 0.03))
    return canvas.image * paper[:, :, None]
