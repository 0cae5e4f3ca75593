"""Cityscapes: skylines, streets in perspective and single facades, by day."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas, Light
from .colour import anything, hsv, mix, near, rgb
from .noise import Rng

_CAR_SIDE = np.array([[0.28, -0.98], [0.36, -0.62], [0.52, -0.5], [0.5, -0.1]])
_CAR = np.vstack([_CAR_SIDE[::-1] * [-1, 1], _CAR_SIDE])


def facade(rng: Rng, h: int, w: int, light: Light, cell: float, lit: float | None = None) -> np.ndarray:
    """A building's wall with a grid of windows.

    Args:
        rng: Source of randomness.
        h: Rows.
        w: Columns.
        light: The lamp.
        cell: A storey's height in pixels.
        lit: By night, the share of windows with light inside; by day None.

    Returns:
        (h, w, 3) float32.
    """
    wall = near(rng, rng.choice([0.04, 0.08, 0.1, 0.12, 0.58]), 0.25, rng.uniform(0.4, 0.85))
    style = str(rng.choice(["plaster", "brick", "glass", "concrete"]))
    if style == "brick":
        brick = near(rng, 0.03, 0.5, 0.5)
        surface = textures.masonry(rng, h, w, brick, near(rng, 0.1, 0.1, 0.7), max(cell / 14, 4), light)
    elif style == "concrete":
        surface = textures.stone(rng, h, w, mix(wall, rgb(0.5, 0.5, 0.5), 0.5) * np.float32(0.8), wall, light)
    else:
        surface = textures.plain(rng, h, w, wall, 0.04)
    rows, columns = max(round(h / cell), 1), max(round(w / (cell * rng.uniform(0.55, 1.2))), 1)
    y = (np.arange(h, dtype=np.float32) / h * rows)[:, None]
    x = (np.arange(w, dtype=np.float32) / w * columns)[None, :]
    row, column = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = y - row.astype(np.float32), x - column.astype(np.float32)
    broad, tall = (0.42, 0.44) if style == "glass" else (rng.uniform(0.2, 0.38), rng.uniform(0.24, 0.4))
    px, py = w / columns, h / rows

    def cover(du: np.ndarray, dv: np.ndarray) -> np.ndarray:
        return np.clip(du * px + 0.5, 0, 1) * np.clip(dv * py + 0.5, 0, 1)

    off_u, off_v = np.abs(u - 0.5), np.abs(v - 0.5)
    frame = cover(broad + 0.04 - off_u, tall + 0.04 - off_v)
    pane = cover(broad - off_u, tall - off_v)
    bars = np.clip((off_u - 0.015) * px, 0, 1) * np.clip(
        (np.abs(v - rng.uniform(0.35, 0.5)) - 0.015) * py, 0, 1
    )
    table = rng.uniform(0.15, 0.6, (rows, columns)).astype(np.float32)
    tone = table[row, column]
    glass = near(rng, 0.57, 0.3, 1.0) * (tone + (0.5 - v) * np.float32(rng.uniform(0, 0.5)))[:, :, None]
    if lit is None:
        mirror = noise.spectral(rng, h, w, 1.6, coarse=2)
        glass = glass * (1 + mirror * np.float32(0.22))[:, :, None]
        curtain = (rng.uniform(0, 1, (rows, columns)) < 0.3)[row, column] * (
            off_u > broad * rng.uniform(0.3, 0.7)
        )
        glass = textures.mix_masked(
            glass, near(rng, 0.1, 0.1, 0.75) + 0 * glass, (curtain * 0.8).astype(np.float32)
        )
    else:
        glass = _lit_windows(rng, glass * np.float32(0.12), lit, (rows, columns), (row, column), v)
        surface = surface * np.float32(rng.uniform(0.04, 0.16))
    ledge = np.clip(1 - np.abs(v - (0.5 + tall + 0.07)) * py / max(py * 0.03, 1.2), 0, 1) * cover(
        broad + 0.08 - off_u, 1 + 0 * v
    )
    under = np.clip(1 - np.abs(v - (0.5 + tall + 0.12)) * py / max(py * 0.05, 1.2), 0, 1) * cover(
        broad + 0.06 - off_u, 1 + 0 * v
    )
    trim = mix(wall, rgb(1, 1, 1), rng.uniform(-0.3, 0.6)) * (1.0 if lit is None else 0.1)
    surface = textures.mix_masked(surface, trim + 0 * surface, np.maximum(frame, ledge).astype(np.float32))
    surface *= (1 - 0.4 * under).astype(np.float32)[:, :, None]
    weight = (pane * bars if style != "glass" else pane).astype(np.float32)
    reveal = 1 - np.clip(1.6 - (v - 0.5 + tall) * py / max(py * 0.06, 1.5), 0, 0.6)
    return textures.mix_masked(surface, glass * reveal[:, :, None].astype(np.float32), weight).astype(
        np.float32
    )


def _lit_windows(
    rng: Rng,
    glass: np.ndarray,
    lit: float,
    grid: tuple[int, int],
    index: tuple[np.ndarray, np.ndarray],
    v: np.ndarray,
) -> np.ndarray:
    on = rng.uniform(0, 1, grid) < lit
    strength = (on * rng.uniform(0.45, 1.1, grid)).astype(np.float32)
    warm = rng.uniform(0, 1, (*grid, 1)).astype(np.float32)
    lamp = hsv(0.1, 0.55, 1.0) * warm + hsv(rng.choice([0.12, 0.55, 0.15]), 0.2, 1.0) * (1 - warm)
    inside = lamp[index] * (strength[index] * (1.05 - 0.6 * v))[:, :, None]
    clutter = 1 + 0.3 * noise.spectral(rng, glass.shape[0], glass.shape[1], 1.2, coarse=2)
    return glass + inside * np.clip(clutter, 0.3, 1.4)[:, :, None]


def skyline(
    canvas: Canvas, rng: Rng, base: float, haze: np.ndarray, rows: int, lit: float | None = None
) -> None:
    """Stand rows of buildings, the far ones hazy, along the level `base` (a row of the canvas)."""
    w, u = canvas.width, canvas.unit
    for depth in range(rows):
        near_far = (depth + 1) / rows
        x = -rng.uniform(0, 0.2) * u
        while x < w:
            wide, tall = u * rng.uniform(0.08, 0.3) * (0.4 + 0.6 * near_far), u * rng.uniform(0.12, 0.55)
            tall *= 1.25 - 0.5 * near_far
            top = base - tall
            x0, y0, x1, y1 = canvas.box(np.array([[x, top], [x + wide, base]]), 0)
            if x1 - x0 > 4 and y1 - y0 > 4:
                cell = u * rng.uniform(0.025, 0.06) * (0.4 + 0.6 * near_far)
                wall = facade(rng, y1 - y0, x1 - x0, canvas.light, cell, lit)
                side = rng.uniform(0.55, 1.1) if lit is None else 1.0
                wall = mix(wall * np.float32(side), haze, (1 - near_far) * rng.uniform(0.4, 0.75))
                canvas.image[y0:y1, x0:x1] = wall
                _roof(canvas, rng, x, top, wide, wall[0, 0] * np.float32(0.8))
            x += wide * rng.uniform(0.85, 1.25)


def _roof(canvas: Canvas, rng: Rng, x: float, top: float, wide: float, colour: np.ndarray) -> None:
    u = canvas.unit
    kind = rng.integers(0, 4)
    if kind == 0:
        canvas.fill(
            np.array([[x - 3, top], [x + wide / 2, top - wide * rng.uniform(0.2, 0.7)], [x + wide + 3, top]]),
            colour,
        )
    elif kind == 1:
        for _ in range(int(rng.integers(1, 4))):
            cx, size = x + wide * rng.uniform(0.1, 0.9), u * rng.uniform(0.008, 0.03)
            canvas.fill(
                shapes.rectangle(cx, top - size, cx + size, top + 2),
                colour * np.float32(rng.uniform(0.7, 1.2)),
            )
    elif kind == 2:
        cx = x + wide * rng.uniform(0.3, 0.7)
        canvas.fill(shapes.rectangle(cx, top - u * rng.uniform(0.03, 0.12), cx + u * 0.004, top), colour)


def draw_cityscape(canvas: Canvas, rng: Rng) -> None:
    """Draw a street, a skyline or a facade over the whole canvas."""
    kind = str(rng.choice(["street", "street", "skyline", "facade"]))
    if kind == "street":
        street(canvas, rng)
    elif kind == "skyline":
        _view(canvas, rng)
    else:
        _front(canvas, rng)


def _view(canvas: Canvas, rng: Rng) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    base = h * rng.uniform(0.6, 0.95)
    haze = outdoors.sky(canvas, rng, base)
    skyline(canvas, rng, base, haze, int(rng.integers(2, 5)))
    if rng.uniform() < 0.5:
        top = int(base)
        river = textures.water(
            rng, h - top, w, textures.mirror(canvas.image[:top], h - top), u * rng.uniform(0.01, 0.04)
        )
        canvas.image[top:] = mix(river, near(rng, 0.5, 0.35, 0.3), 0.3)
    else:
        greens = outdoors.foliage_colours(rng)
        trees = textures.leaves(rng, h, w, greens, u * 0.03, canvas.light)
        canvas.image[int(base) :] = trees[int(base) :]
        for x in np.arange(0, w, u * 0.07):
            r = u * rng.uniform(0.03, 0.08)
            canvas.fill(shapes.blob(rng, x, base + u * 0.01, r, r, 0.4), trees, bulge=0.7)


def _front(canvas: Canvas, rng: Rng) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    wall = facade(rng, h, w, canvas.light, u * rng.uniform(0.16, 0.45))
    canvas.image[:] = wall
    skew = rng.normal(0, 0.1, 4) * u
    corners = shapes.rectangle(-0.1 * w, -0.1 * h, 1.1 * w, 1.1 * h)
    corners[:, 1] += skew * np.array([1, 1, -1, -1])
    canvas.warp_onto(corners, wall)
    shade = np.array([[0, 0], [w * rng.uniform(-0.3, 1.2), 0], [w * rng.uniform(-0.3, 1.2), h], [0, h]])
    if rng.uniform() < 0.6:
        canvas.shadow(shade, u * rng.uniform(0.003, 0.01), rng.uniform(0.3, 0.55))
    if rng.uniform() < 0.4:
        greens = textures.leaves(
            rng, h, w, outdoors.foliage_colours(rng), u * rng.uniform(0.04, 0.08), canvas.light
        )
        for _ in range(5):
            r = u * rng.uniform(0.08, 0.2)
            canvas.fill(
                shapes.blob(rng, rng.uniform(0, w), h - r * rng.uniform(-0.3, 0.7), r, r, 0.6),
                greens,
                bulge=0.6,
            )


def street(canvas: Canvas, rng: Rng, lit: float | None = None) -> None:
    """A street between two rows of houses that runs to a vanishing point; `lit` as in `facade`."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    vx, vy = w * rng.uniform(0.3, 0.7), h * rng.uniform(0.45, 0.65)
    dim = 1.0 if lit is None else 0.12
    haze = rgb(0.02, 0.03, 0.06)
    if lit is None:
        haze = outdoors.sky(canvas, rng, vy + u * 0.03)
    asphalt = textures.stone(
        rng, h, w, rgb(0.27, 0.27, 0.28), rgb(0.5, 0.49, 0.48), canvas.light
    ) * np.float32(dim)
    if rng.uniform() < 0.4:
        stones = (near(rng, 0.1, 0.1, 0.4), near(rng, 0.08, 0.12, 0.65))
        asphalt = textures.gravel(rng, h, w, stones, u * rng.uniform(0.03, 0.06), canvas.light) * np.float32(
            dim
        )
    outdoors.ground(canvas, vy, asphalt, rng.uniform(0.6, 1.2), vx / w)
    for k in range(-2, 14):
        z0, z1 = 1.0 / (0.35 + 0.5 * k + 1.2), 1.0 / (0.35 + 0.5 * k + 1.45)
        xs = np.array([-0.01, 0.01]) * w
        dash = [
            [vx + xs[0] * z0, vy + h * 0.5 * z0],
            [vx + xs[1] * z0, vy + h * 0.5 * z0],
            [vx + xs[1] * z1, vy + h * 0.5 * z1],
            [vx + xs[0] * z1, vy + h * 0.5 * z1],
        ]
        canvas.fill(np.array(dash), rgb(0.9, 0.9, 0.86) * np.float32(dim), alpha=0.8)
    for side in (-1, 1):
        road = w * rng.uniform(0.28, 0.5) * side
        start = max(1.6, 0.75 * w / abs(road))
        edges = np.cumprod(np.r_[1.0, rng.uniform(0.5, 0.8, int(rng.integers(4, 7)))]) * start
        for k in range(len(edges) - 2, -1, -1):
            _house(canvas, rng, (vx, vy), road, edges[k], edges[k + 1], haze, lit)
    _traffic(canvas, rng, (vx, vy), dim)


def _house(
    canvas: Canvas,
    rng: Rng,
    vanish: tuple[float, float],
    road: float,
    close: float,
    far: float,
    haze: np.ndarray,
    lit: float | None,
) -> None:
    (vx, vy), h, u = vanish, canvas.height, canvas.unit
    tall, foot = h * rng.uniform(0.35, 0.8), h * 0.3
    side = np.sign(road)
    px = vx + road * np.array([close, far])
    corners = np.array(
        [
            [px[0], vy - tall * close],
            [px[1], vy - tall * far],
            [px[1], vy + foot * far],
            [px[0], vy + foot * close],
        ]
    )
    th, tw = (
        int(min((tall + foot) * close, 1.2 * h)),
        int(np.clip(abs(px[0] - px[1]) * 1.1, 24, canvas.width)),
    )
    wall = facade(rng, max(th, 24), tw, canvas.light, max(th / rng.integers(4, 9), 10), lit)
    if lit is None:
        sun = 0.75 - 0.45 * float(canvas.light.direction[0]) * side
        wall = mix(wall * np.float32(np.clip(sun, 0.4, 1.15)), haze, 0.5 * (1 - min(far * 1.2, 1)))
    if side > 0:
        corners = corners[[1, 0, 3, 2]]
    canvas.warp_onto(corners, wall)
    inner = road * 0.85
    walk = np.array(
        [
            [px[0], vy + foot * close],
            [px[1], vy + foot * far],
            [vx + inner * far, vy + foot * far],
            [vx + inner * close, vy + foot * close],
        ]
    )
    canvas.fill(walk, near(rng, 0.1, 0.05, 0.55 if lit is None else 0.08))
    canvas.shadow(walk, u * 0.01, 0.2, (-side * u * 0.01, 0.0))


def _traffic(canvas: Canvas, rng: Rng, vanish: tuple[float, float], dim: float) -> None:
    (vx, vy), w, h = vanish, canvas.width, canvas.height
    for near_far in np.sort(rng.uniform(0.08, 0.8, int(rng.integers(0, 8)))):
        x, base = vx + w * near_far * rng.choice([-0.3, -0.18, 0.12, 0.25]), vy + h * 0.32 * near_far
        if rng.uniform() < 0.55:
            wide, paint = w * 0.16 * near_far, anything(rng, 0.6) * np.float32(max(dim, 0.2))
            tall = wide * 0.75
            canvas.shadow(shapes.ellipse(x, base, wide * 0.6, tall * 0.14), wide * 0.04 + 1, 0.7)
            for s in (-1, 1):
                canvas.fill(
                    shapes.ellipse(x + s * wide * 0.36, base - tall * 0.08, wide * 0.1, tall * 0.16),
                    rgb(0.05, 0.05, 0.05),
                )
            body = shapes.closed(_CAR * [wide, tall] + [x, base])
            canvas.fill(body, paint, bulge=0.7)
            glass = np.array([[-0.3, -0.64], [-0.24, -0.92], [0.24, -0.92], [0.3, -0.64]]) * [wide, tall] + [
                x,
                base,
            ]
            canvas.fill(glass, rgb(0.3, 0.36, 0.42) * np.float32(dim))
            lamp = rgb(1.0, 0.25, 0.2) if x > vx else rgb(1.0, 0.95, 0.8)
            for s in (-1, 1):
                canvas.fill(
                    shapes.ellipse(x + s * wide * 0.38, base - tall * 0.42, wide * 0.06, tall * 0.06), lamp
                )
        else:
            tall = h * 0.2 * near_far
            cloth, lower = anything(rng, 0.5) * np.float32(dim), near(rng, 0.6, 0.3, 0.25) * np.float32(dim)
            for s in (-1, 1):
                leg = np.array([[x, base - tall * 0.5], [x + s * tall * rng.uniform(0.02, 0.12), base]])
                canvas.fill(shapes.tube(leg, np.array([0.13, 0.08]) * tall), lower, bulge=1.0)
            canvas.fill(shapes.ellipse(x, base - tall * 0.64, tall * 0.13, tall * 0.22), cloth, bulge=1.0)
            canvas.fill(
                shapes.ellipse(x, base - tall * 0.92, tall * 0.06, tall * 0.08),
                near(rng, 0.06, 0.4, 0.6) * np.float32(dim),
                bulge=1.0,
            )
    if rng.uniform() < 0.3:
        wire = [
            np.stack([np.linspace(0, w, 20), h * (y0 + 0.05 * np.sin(np.linspace(0, np.pi, 20)))], -1)[None]
            for y0 in rng.uniform(0.02, 0.35, 3)
        ]
        canvas.strokes(wire, np.full((3, 3), 0.08), 2)
