"""Landscapes: sky, ranges of hills, and water, meadow, field or rock in front."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .colour import hsv, mix, near, rgb
from .noise import Rng


def draw_landscape(canvas: Canvas, rng: Rng) -> None:
    """Draw a landscape over the whole canvas."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    horizon = h * rng.uniform(0.3, 0.68)
    haze = outdoors.sky(canvas, rng, horizon + u * 0.02)
    ranges = int(rng.integers(1, 5))
    for k in range(ranges):
        distance = (1 - (k + 1) / (ranges + 0.5)) * rng.uniform(0.5, 1.0)
        tall = u * rng.uniform(0.06, 0.3) * (1 - 0.5 * k / ranges)
        ground = near(rng, rng.uniform(0.08, 0.38), 0.45, rng.uniform(0.25, 0.5))
        outdoors.hills(canvas, rng, horizon, tall, ground, haze, distance)
    greens = outdoors.foliage_colours(rng)
    ending = str(rng.choice(["water", "meadow", "field", "rock", "meadow"]))
    if ending == "water":
        _water(canvas, rng, horizon)
    elif ending == "rock":
        dark, light = near(rng, 0.08, 0.25, 0.3), near(rng, 0.1, 0.25, 0.7)
        texture = textures.stone(rng, h, w, dark, light, canvas.light)
        outdoors.ground(canvas, horizon, texture, rng.uniform(0.5, 0.9))
        _rocks(canvas, rng, horizon)
    else:
        tone = near(rng, rng.uniform(0.1, 0.3), 0.5, 0.5)
        texture = textures.stone(rng, h, w, mix(tone, rgb(0, 0, 0), 0.45), tone, canvas.light)
        outdoors.ground(canvas, horizon, texture, rng.uniform(0.6, 1.0))
        if ending == "field":
            _rows(canvas, rng, horizon, greens)
        else:
            textures.grass_blades(canvas, rng, horizon, greens, u * rng.uniform(0.05, 0.22))
    _trees(canvas, rng, horizon, greens, ending)


def _water(canvas: Canvas, rng: Rng, horizon: float) -> None:
    h, w = canvas.height, canvas.width
    top = int(horizon)
    depth = h - top
    reflected = textures.mirror(canvas.image[:top], depth)
    lake = textures.water(rng, depth, w, reflected, canvas.unit * rng.uniform(0.004, 0.04))
    deep = near(rng, 0.54, 0.5, 0.3)
    canvas.image[top:] = mix(lake, deep, rng.uniform(0.12, 0.45))
    bank = np.stack([np.linspace(0, w, 60), top + rng.normal(0, 1.5, 60)], -1)
    canvas.fill(shapes.tube(bank, np.full(60, canvas.unit * 0.008)), near(rng, 0.1, 0.3, 0.25))


def _rows(canvas: Canvas, rng: Rng, horizon: float, greens: tuple[np.ndarray, ...]) -> None:
    h, w = canvas.height, canvas.width
    vanish = w * rng.uniform(-0.2, 1.2)
    step = w * rng.uniform(0.05, 0.16)
    leaves = textures.leaves(rng, h, w, greens, canvas.unit * rng.uniform(0.03, 0.07), canvas.light)
    for x in np.arange(-2.5 * w, 3.5 * w, step):
        row = np.array([[vanish, horizon], [vanish, horizon + 1], [x + step * 0.55, h + 2], [x, h + 2]])
        row = np.vstack([row[:1], row[2:]])
        canvas.fill(row, leaves)


def _rocks(canvas: Canvas, rng: Rng, horizon: float) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    dark, light = near(rng, 0.08, 0.2, 0.3), near(rng, 0.09, 0.2, 0.68)
    texture = textures.stone(rng, h, w, dark, light, canvas.light)
    for y in np.sort(rng.uniform(horizon, h * 1.02, int(rng.integers(6, 22)))):
        size = u * rng.uniform(0.05, 0.2) * (0.1 + (y - horizon) / (h - horizon))
        x = rng.uniform(0, w)
        outline = shapes.blob(rng, x, y, size, size * rng.uniform(0.45, 0.8), 0.45)
        canvas.shadow(outline, size * 0.15 + 1, 0.5, (-canvas.light.direction[0] * size * 0.4, size * 0.15))
        canvas.fill(outline, texture, bulge=0.8)


def _trees(canvas: Canvas, rng: Rng, horizon: float, greens: tuple[np.ndarray, ...], ending: str) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    count = int(rng.choice([0, 1, 2, 4, 12]))
    if count == 0:
        return
    conifer = bool(rng.uniform() < 0.4)
    greenery = textures.leaves(rng, h, w, greens, u * rng.uniform(0.015, 0.035), canvas.light)
    limit = 0.04 if ending == "water" else rng.uniform(0.1, 0.7)
    for depth in np.sort(rng.uniform(0, 1, count)) ** 1.6 * limit:
        base = horizon + (h - horizon) * depth + u * 0.01
        height = u * (0.08 + 0.75 * depth) * rng.uniform(0.7, 1.3)
        x = rng.uniform(0, w)
        shade = shapes.ellipse(
            x - canvas.light.direction[0] * height * 0.3, base, height * 0.3, height * 0.04
        )
        canvas.shadow(shade, height * 0.03 + 1, 0.5)
        outdoors.tree(canvas, rng, x, base, height, greenery, conifer)
    if ending != "water" and rng.uniform() < 0.2:
        fence = noise.ridge(rng, 32, 1.5)
        y = horizon + (h - horizon) * rng.uniform(0.3, 0.6)
        for k in range(16):
            x = w * k / 15
            post = shapes.rectangle(x, y - u * 0.07 - 6 * fence[k], x + u * 0.01, y + u * 0.02)
            canvas.fill(post, hsv(0.08, 0.3, 0.35), bulge=1.0)
