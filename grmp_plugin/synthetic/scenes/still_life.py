"""Still lifes: fruit, bottles, cups, bowls and books on a table."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .colour import anything, hsv, mix, near, rgb
from .noise import Rng


def draw_still_life(canvas: Canvas, rng: Rng) -> None:
    """Draw a laid table over the whole canvas."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    edge = h * rng.uniform(0.3, 0.6)
    if rng.uniform() < 0.5:
        outdoors.blurred_backdrop(canvas, rng)
    else:
        wall = near(rng, rng.uniform(), 0.25, rng.uniform(0.15, 0.75))
        canvas.image[:] = textures.plain(rng, h, w, wall, 0.05)
        canvas.image *= np.linspace(rng.uniform(0.6, 1.2), rng.uniform(0.6, 1.2), w, dtype=np.float32)[
            None, :, None
        ]
    kind = rng.integers(0, 3)
    if kind == 0:
        table = textures.wood(
            rng, h, w, near(rng, 0.07, 0.5, rng.uniform(0.25, 0.65)), u * rng.uniform(0.1, 0.3)
        )
    elif kind == 1:
        table = textures.fabric(
            rng, h, w, (anything(rng, 0.4), near(rng, 0.1, 0.08, 0.9)), u * rng.uniform(0.005, 0.01)
        )
        folds = noise.spectral(rng, h, w, 2.4, coarse=4) * np.float32(0.1)
        table = table * (1 + folds)[:, :, None]
    else:
        tone = near(rng, rng.uniform(), 0.15, 0.6)
        table = textures.stone(rng, h, w, tone * np.float32(0.75), tone, canvas.light)
    outdoors.ground(
        canvas, edge - h * rng.uniform(0.2, 0.7), table, rng.uniform(0.6, 0.95), rng.uniform(0.3, 0.7)
    )
    _restore_above(canvas, rng, edge)
    canvas.shadow(shapes.rectangle(0, edge - 4, w, edge + 4), u * 0.01, 0.3)
    count = int(rng.integers(3, 11))
    depths = np.sort(rng.uniform(0.05, 0.75, count))
    for depth in depths:
        base = edge + (h - edge) * depth
        size = u * rng.uniform(0.08, 0.15) * (0.75 + 0.6 * depth)
        x = w * rng.uniform(0.08, 0.92)
        item = str(rng.choice(["fruit", "fruit", "fruit", "bottle", "cup", "bowl", "book"]))
        canvas.shadow(
            shapes.ellipse(
                x - canvas.light.direction[0] * size * 0.9, base - size * 0.05, size * 1.2, size * 0.3
            ),
            size * 0.15,
            0.6,
        )
        canvas.shadow(shapes.ellipse(x, base - size * 0.05, size * 0.6, size * 0.1), size * 0.05, 0.6)
        if item == "fruit":
            _fruit(canvas, rng, x, base, size)
        elif item == "bottle":
            _bottle(canvas, rng, x, base, size)
        elif item == "cup":
            _cup(canvas, rng, x, base, size)
        elif item == "bowl":
            _bowl(canvas, rng, x, base, size * 1.5)
        else:
            _books(canvas, rng, x, base, size)


def _restore_above(canvas: Canvas, rng: Rng, edge: float) -> None:
    """Cut the table off at its far edge: put a wall back above it."""
    top = int(edge)
    if rng.uniform() < 0.5:
        wall = near(rng, rng.uniform(), 0.25, rng.uniform(0.12, 0.75))
        canvas.image[:top] = textures.plain(rng, top, canvas.width, wall, 0.04)
        spot = Canvas(canvas.image[:top], canvas.light)
        spot.glow(rng.uniform(0, 1) * canvas.width, rng.uniform(0, 1) * top, canvas.unit * 1.2, wall, 1.0)
    else:
        upper = Canvas(np.ascontiguousarray(canvas.image[:top]), canvas.light)
        outdoors.blurred_backdrop(upper, rng)
        canvas.image[:top] = upper.image


def _fruit(canvas: Canvas, rng: Rng, x: float, base: float, size: float) -> None:
    hue = rng.choice([0.0, 0.02, 0.08, 0.11, 0.15, 0.25, 0.83])
    colour = hsv(hue + rng.normal(0, 0.015), rng.uniform(0.6, 0.95), rng.uniform(0.5, 0.95))
    other = hsv(hue + rng.normal(0.06, 0.05), rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.95))

    def skin(h: int, w: int) -> np.ndarray:
        blend = np.clip(noise.spectral(rng, h, w, 1.6, coarse=2) * 0.35 + 0.4, 0, 1)
        speckle = 1 + noise.spectral(rng, h, w, 0.6) * np.float32(0.05)
        return (colour + blend[:, :, None] * (other - colour)) * speckle[:, :, None]

    if rng.uniform() < 0.2:
        for _ in range(14):
            gx, gy, r = x + rng.normal(0, 0.5) * size, base - size * rng.uniform(0.25, 1.2), size * 0.3
            canvas.shadow(shapes.ellipse(gx, gy, r, r), r * 0.3, 0.3)
            canvas.ball((gx, gy), (r, r * rng.uniform(1, 1.15)), colour, gloss=0.5, power=50)
        return
    flat = rng.uniform(0.8, 1.1)
    canvas.ball(
        (x, base - size * flat),
        (size, size * flat),
        skin,
        angle=0.0,
        gloss=rng.uniform(0.1, 0.6),
        power=rng.uniform(15, 60),
    )
    if rng.uniform() < 0.7:
        top = base - size * flat * 1.75
        canvas.fill(
            shapes.ellipse(x, top, size * 0.22, size * 0.08),
            rgb(0.15, 0.1, 0.03),
            alpha=0.6,
            soft=size * 0.05,
        )
        stalk = shapes.curve(
            np.array([[x, top], [x + size * 0.05, top - size * 0.25], [x + size * 0.15, top - size * 0.4]])
        )
        canvas.fill(shapes.tube(stalk, np.full(24, size * 0.07)), near(rng, 0.08, 0.5, 0.3), bulge=1.0)


def _lathe(x: float, base: float, profile: list[tuple[float, float]], size: float) -> np.ndarray:
    """Outline of a turned body from (radius, height) pairs, from the foot upwards."""
    points = np.array(profile) * size
    smooth = shapes.curve(points, 60)
    right = np.stack([x + smooth[:, 0], base - smooth[:, 1]], -1)
    left = np.stack([x - smooth[:, 0], base - smooth[:, 1]], -1)
    return np.vstack([right, left[::-1]])


def _bottle(canvas: Canvas, rng: Rng, x: float, base: float, size: float) -> None:
    tall, neck = rng.uniform(2.6, 3.8), rng.uniform(0.16, 0.24)
    shoulder = tall * rng.uniform(0.5, 0.68)
    outline = _lathe(
        x,
        base,
        [(0.5, 0.0), (0.58, 0.1), (0.58, shoulder), (neck, shoulder + 0.5), (neck, tall), (neck * 1.2, tall)],
        size,
    )
    colour = hsv(rng.choice([0.1, 0.28, 0.33, 0.55, 0.07]), rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.6))
    canvas.fill(outline, colour, alpha=rng.uniform(0.7, 1.0), bulge=0.8)
    side = float(np.sign(canvas.light.direction[0]) or 1.0)
    for offset, width, strength in ((0.38, 0.07, 0.5), (-0.42, 0.05, 0.2)):
        px = x + side * offset * size
        line = shapes.curve(
            np.array(
                [
                    [px, base - 0.2 * size],
                    [px, base - shoulder * size],
                    [x + side * neck * 0.6 * size, base - (shoulder + 0.55) * size],
                ]
            )
        )
        canvas.fill(
            shapes.tube(line, np.full(24, width * size)),
            rgb(1.1, 1.1, 1.08),
            alpha=strength,
            soft=size * 0.035,
        )
    if rng.uniform() < 0.6:
        label = near(rng, 0.1, 0.15, 0.88)
        y0, y1 = base - size * shoulder * 0.8, base - size * shoulder * 0.3
        canvas.fill(shapes.rectangle(x - size * 0.57, y0, x + size * 0.57, y1), label, bulge=0.35)
        for k in range(4):
            y = y0 + (y1 - y0) * (0.2 + 0.2 * k)
            half = size * rng.uniform(0.1, 0.4)
            canvas.fill(
                shapes.rectangle(x - half, y, x + half, y + size * 0.035),
                anything(rng, 0.5) * np.float32(0.5),
            )


def _cup(canvas: Canvas, rng: Rng, x: float, base: float, size: float) -> None:
    colour, rim = anything(rng, 0.4), size * rng.uniform(0.6, 0.8)
    tall = size * rng.uniform(1.0, 1.5)
    s = float(rng.choice([-1, 1]))
    handle = shapes.curve(
        np.array(
            [
                [x + s * rim * 0.9, base - tall * 0.8],
                [x + s * rim * 1.6, base - tall * 0.7],
                [x + s * rim * 1.45, base - tall * 0.3],
                [x + s * rim * 0.8, base - tall * 0.25],
            ]
        )
    )
    canvas.fill(shapes.tube(handle, np.full(24, size * 0.13)), colour, bulge=1.0)
    outline = _lathe(
        x,
        base,
        [(0.45, 0.0), (0.55, 0.1), (rim / size * 0.95, tall / size * 0.6), (rim / size, tall / size)],
        size,
    )
    canvas.fill(outline, colour, bulge=0.8)
    if rng.uniform() < 0.6:
        band = anything(rng, 0.6)
        for k in range(int(rng.integers(1, 5))):
            y = base - tall * (0.25 + 0.14 * k)
            canvas.fill(
                shapes.tube(shapes.ellipse(x, y, rim * 0.88, rim * 0.14, end=0.5), np.full(48, size * 0.06)),
                band,
                alpha=0.8,
            )
    canvas.fill(shapes.ellipse(x, base - tall, rim, rim * 0.26), mix(colour, rgb(1, 1, 1), 0.4))
    canvas.fill(shapes.ellipse(x, base - tall + rim * 0.03, rim * 0.9, rim * 0.21), colour * np.float32(0.45))
    if rng.uniform() < 0.7:
        canvas.fill(
            shapes.ellipse(x, base - tall + rim * 0.09, rim * 0.82, rim * 0.15), near(rng, 0.06, 0.6, 0.22)
        )
    canvas.fill(
        shapes.ellipse(x - s * rim * 0.5, base - tall * 0.55, rim * 0.08, tall * 0.2),
        rgb(1.1, 1.1, 1.1),
        alpha=0.5,
        soft=size * 0.03,
    )


def _bowl(canvas: Canvas, rng: Rng, x: float, base: float, size: float) -> None:
    colour = anything(rng, 0.4)
    rim = base - size * 0.75
    canvas.fill(shapes.ellipse(x, rim, size, size * 0.28), colour * np.float32(0.55))
    for _ in range(int(rng.integers(2, 7))):
        _fruit(canvas, rng, x + rng.normal(0, 0.35) * size, rim + size * 0.15, size * rng.uniform(0.22, 0.34))
    outline = np.vstack(
        [
            shapes.ellipse(x, rim, size, size * 0.28, end=0.5),
            shapes.curve(
                np.array(
                    [
                        [x - size, rim],
                        [x - size * 0.75, rim + size * 0.5],
                        [x - size * 0.35, base],
                        [x + size * 0.35, base],
                        [x + size * 0.75, rim + size * 0.5],
                        [x + size, rim],
                    ]
                )
            ),
        ]
    )
    canvas.fill(outline, colour, bulge=0.7)


def _books(canvas: Canvas, rng: Rng, x: float, base: float, size: float) -> None:
    y = base
    for _ in range(int(rng.integers(1, 5))):
        thick, half = size * rng.uniform(0.18, 0.4), size * rng.uniform(0.9, 1.4)
        dx = rng.normal(0, 0.1) * size
        cover = anything(rng, 0.5)
        canvas.fill(shapes.rectangle(x - half + dx, y - thick, x + half + dx, y), cover, bulge=0.15)
        pages = shapes.rectangle(x - half * 0.96 + dx, y - thick * 0.86, x + half + dx, y - thick * 0.14)
        if rng.uniform() < 0.5:
            canvas.fill(pages, rgb(0.9, 0.87, 0.78))
            lines = [
                np.array([[[x - half * 0.95 + dx, v], [x + half + dx, v]]])
                for v in np.arange(y - thick * 0.84, y - thick * 0.14, 3.0)
            ]
            canvas.strokes(lines, np.tile(np.array([[0.72, 0.68, 0.58]]), (len(lines), 1)), 1)
        else:
            title = shapes.rectangle(
                x - half * 0.5 + dx, y - thick * 0.6, x + half * 0.4 + dx, y - thick * 0.4
            )
            canvas.fill(title, mix(cover, rgb(1, 0.9, 0.6), 0.7))
        y -= thick
    top = np.array(
        [
            [x - half + dx, y],
            [x + half + dx, y],
            [x + half * 0.85 + dx, y - size * 0.2],
            [x - half * 0.85 + dx, y - size * 0.2],
        ]
    )
    canvas.fill(top, cover * np.float32(1.15))
