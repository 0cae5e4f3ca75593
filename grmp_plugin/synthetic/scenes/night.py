"""Nights: lit windows, lamps with haloes, stars, moon and reflections; dark but sharp."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .cityscape import skyline, street
from .colour import hsv, mix, near, rgb
from .noise import Rng


def draw_night(canvas: Canvas, rng: Rng) -> None:
    """Draw a night scene over the whole canvas."""
    kind = str(rng.choice(["skyline", "street", "stars"]))
    _sky(canvas, rng, stars=kind == "stars" or rng.uniform() < 0.4)
    if kind == "skyline":
        _harbour(canvas, rng)
    elif kind == "street":
        street(canvas, rng, lit=rng.uniform(0.15, 0.6))
        _lamps(canvas, rng, int(rng.integers(2, 8)))
    else:
        _hills(canvas, rng)


def _sky(canvas: Canvas, rng: Rng, stars: bool) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    top, horizon = (
        near(rng, 0.64, 0.6, 0.06),
        near(rng, rng.choice([0.62, 0.7, 0.06]), 0.5, rng.uniform(0.1, 0.3)),
    )
    down = np.linspace(0, 1, h, dtype=np.float32) ** np.float32(1.8)
    canvas.image[:] = outdoors.ramp_column(down, top, horizon)[:, None, :]
    clouds = noise.spectral(rng, h, w, 1.8, stretch=1.6, coarse=2)
    canvas.image *= np.clip(1 + clouds * np.float32(rng.uniform(0.05, 0.35)), 0.2, 3)[:, :, None]
    if stars:
        count = int(rng.integers(60, 450))
        for _ in range(count):
            r = float(min(0.7 + rng.pareto(3.0) * 0.8, 4.0))
            shine = hsv(rng.choice([0.08, 0.6]), rng.uniform(0, 0.3), 1) * np.float32(rng.uniform(0.2, 1.0))
            canvas.fill(shapes.ellipse(rng.uniform(0, w), rng.uniform(0, h), r, r)[::6], shine)
    if rng.uniform() < 0.4:
        x, y, r = rng.uniform(0.1, 0.9) * w, rng.uniform(0.05, 0.35) * h, u * rng.uniform(0.02, 0.06)
        canvas.glow(x, y, r * 7, rgb(0.7, 0.75, 0.8), 0.6)
        seas = rgb(0.95, 0.94, 0.88) * (1 + 0.1 * noise.spectral(rng, h, w, 1.6, coarse=2))[:, :, None]
        canvas.fill(shapes.ellipse(x, y, r, r), seas)


def _harbour(canvas: Canvas, rng: Rng) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    base = h * rng.uniform(0.5, 0.8)
    skyline(canvas, rng, base, rgb(0.04, 0.05, 0.09), int(rng.integers(2, 4)), rng.uniform(0.15, 0.6))
    for _ in range(int(rng.integers(3, 14))):
        _lamp(canvas, rng, rng.uniform(0, w), base - u * rng.uniform(0.01, 0.05), u * rng.uniform(0.03, 0.1))
    top = int(base)
    depth = h - top
    lake = textures.water(
        rng, depth, w, textures.mirror(canvas.image[:top], depth), u * rng.uniform(0.02, 0.08)
    )
    canvas.image[top:] = mix(lake, rgb(0.02, 0.03, 0.06), rng.uniform(0.1, 0.4))


def _lamp(canvas: Canvas, rng: Rng, x: float, y: float, reach: float) -> None:
    colour = hsv(rng.choice([0.09, 0.1, 0.13, 0.55, 0.02]), rng.uniform(0.15, 0.6), 1.0)
    canvas.glow(x, y, reach, colour, rng.uniform(0.6, 1.3))
    r = max(reach * 0.05, 1.5)
    canvas.fill(shapes.ellipse(x, y, r, r), mix(colour, rgb(1.2, 1.2, 1.2), 0.6))


def _lamps(canvas: Canvas, rng: Rng, count: int) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    for k in range(count):
        size = 0.9**k * rng.uniform(0.6, 1.0)
        x, top = w * rng.uniform(0.02, 0.98), h * (0.62 - 0.45 * size)
        foot = h * (0.62 + 0.2 * size)
        canvas.fill(shapes.rectangle(x - u * 0.004, top, x + u * 0.004, foot), rgb(0.04, 0.04, 0.05))
        _lamp(canvas, rng, x, top, u * 0.45 * size)
        pool = Canvas(canvas.image[int(foot - u * 0.1) :], canvas.light)
        pool.glow(x, u * 0.1, u * 0.3 * size, rgb(0.5, 0.38, 0.2), 0.5)


def _hills(canvas: Canvas, rng: Rng) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    base = h * rng.uniform(0.6, 0.95)
    for k in range(int(rng.integers(1, 4))):
        tone = near(rng, 0.6, 0.4, 0.09)
        outdoors.hills(
            canvas,
            rng,
            base + k * u * 0.06,
            u * rng.uniform(0.1, 0.3),
            tone,
            rgb(0.05, 0.06, 0.11),
            0.4 - 0.12 * k,
        )
    foot = int(base + u * 0.1)
    if foot < h - 4:
        soil = textures.stone(rng, h - foot, w, rgb(0.02, 0.025, 0.03), rgb(0.1, 0.11, 0.11), canvas.light)
        canvas.image[foot:] = soil
    lights = int(rng.integers(0, 25))
    for _ in range(lights):
        _lamp(
            canvas, rng, rng.uniform(0, w), base + u * rng.uniform(-0.03, 0.06), u * rng.uniform(0.01, 0.05)
        )
    if rng.uniform() < 0.6:
        x, wide, tall = w * rng.uniform(0.1, 0.7), u * rng.uniform(0.15, 0.3), u * rng.uniform(0.1, 0.18)
        y = min(base + u * 0.12, h - 2.0)
        hut = textures.wood(rng, h, w, rgb(0.13, 0.09, 0.06), u * 0.02)
        canvas.fill(shapes.rectangle(x, y - tall, x + wide, y), hut)
        roof = np.array(
            [[x - wide * 0.1, y - tall], [x + wide * 0.5, y - tall * 1.7], [x + wide * 1.1, y - tall]]
        )
        canvas.fill(roof, rgb(0.05, 0.05, 0.06))
        for k in range(2):
            wx = x + wide * (0.15 + 0.45 * k)
            window = shapes.rectangle(wx, y - tall * 0.75, wx + wide * 0.22, y - tall * 0.35)
            canvas.glow(wx + wide * 0.1, y - tall * 0.55, wide * 0.8, rgb(1.0, 0.7, 0.35), 0.6)
            canvas.fill(window, rgb(1.0, 0.82, 0.5))
            canvas.fill(
                shapes.rectangle(wx + wide * 0.1, y - tall * 0.75, wx + wide * 0.12, y - tall * 0.35),
                rgb(0.2, 0.1, 0.05),
            )
    greens = (rgb(0.01, 0.02, 0.02), rgb(0.03, 0.05, 0.04), rgb(0.06, 0.09, 0.07))
    if rng.uniform() < 0.6:
        greenery = textures.leaves(rng, h, w, greens, u * 0.03, canvas.light)
        for _ in range(int(rng.integers(1, 5))):
            outdoors.tree(
                canvas,
                rng,
                rng.uniform(0, w),
                base + u * 0.12,
                u * rng.uniform(0.2, 0.6),
                greenery,
                bool(rng.uniform() < 0.6),
            )
