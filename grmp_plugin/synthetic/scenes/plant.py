"""Plants: flowers, veined leaves, trunks, potted plants and beds."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .colour import hsv, mix, near, rgb
from .noise import Rng


def draw_plant(canvas: Canvas, rng: Rng) -> None:
    """Draw a plant, a flower bed, a trunk or a pot over the whole canvas."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    kind = str(rng.choice(["flower", "flower", "leaves", "trunk", "pot", "bed"]))
    greens = outdoors.foliage_colours(rng)
    if kind == "trunk":
        _trunk(canvas, rng, greens)
        return
    if kind in ("leaves", "bed") and rng.uniform() < 0.6:
        canvas.image[:] = textures.leaves(
            rng, h, w, greens, u * rng.uniform(0.04, 0.12), canvas.light
        ) * np.float32(0.6)
        canvas.defocus(u * rng.uniform(0, 0.015))
    else:
        outdoors.blurred_backdrop(canvas, rng)
    mottle = (
        1 + noise.spectral(rng, h, w, 1.0) * np.float32(0.05) + noise.smooth(rng, h, w, 5) * np.float32(0.12)
    )
    if kind == "flower":
        for k in range(int(rng.choice([1, 1, 2, 3]))):
            x, y = w * rng.uniform(0.3, 0.7), h * rng.uniform(0.3, 0.6)
            size = u * rng.uniform(0.22, 0.42) * (1.0 if k == 0 else 0.6)
            _stem(canvas, rng, x, y, size, greens, mottle)
            _flower(canvas, rng, x, y, size, mottle)
    elif kind == "leaves":
        for _ in range(int(rng.integers(10, 26))):
            base = np.array([rng.uniform(-0.1, 1.1) * w, rng.uniform(0, 1.2) * h])
            _leaf(canvas, rng, base, rng.normal(-np.pi / 2, 1.0), u * rng.uniform(0.2, 0.55), greens, mottle)
    elif kind == "pot":
        _pot(canvas, rng, greens, mottle)
    else:
        for y in np.sort(rng.uniform(0.15, 1.05, int(rng.integers(8, 20)))):
            x, size = w * rng.uniform(0, 1), u * (0.03 + 0.12 * y) * rng.uniform(0.7, 1.3)
            _stem(canvas, rng, x, y * h, size, greens, mottle)
            _flower(canvas, rng, x, y * h, size, mottle)


def _leaf(
    canvas: Canvas,
    rng: Rng,
    base: np.ndarray,
    angle: float,
    length: float,
    greens: tuple[np.ndarray, ...],
    mottle: np.ndarray,
) -> None:
    """A leaf with midrib and side veins."""
    tip = base + length * np.array([np.cos(angle), np.sin(angle)])
    bend = rng.normal(0, 0.12)
    wide = rng.uniform(0.28, 0.6)
    outline, spine = shapes.leaf(base, tip, wide, bend, rng.uniform(0.7, 1.1))
    tone = mix(greens[1], greens[2], rng.uniform(0, 0.9)) * np.float32(rng.uniform(0.7, 1.1))
    canvas.shadow(outline, length * 0.03, 0.5, (-canvas.light.direction[0] * length * 0.05, length * 0.05))
    canvas.fill(outline, tone, bulge=0.45, texture=mottle)
    half = len(outline) // 2
    dark_side = np.vstack([outline[:half], spine[::-1]])
    canvas.fill(dark_side, tone * np.float32(0.75), alpha=0.35)
    vein = mix(tone, rgb(0.95, 1.0, 0.8), rng.uniform(0.25, 0.6))
    canvas.fill(shapes.tube(spine, np.linspace(0.022, 0.004, 24) * length), vein)
    side = []
    for k in range(3, 21, int(rng.integers(1, 4))):
        for edge in (outline[min(k + 2, half - 1)], outline[::-1][min(k + 2, half - 1)]):
            end = spine[k] + (edge - spine[k]) * 0.9
            side.append(
                shapes.curve(
                    np.stack([spine[k], (spine[k] + end) / 2 + (spine[k] - spine[k - 1]) * 0.3, end]), 6
                )
            )
    canvas.strokes([np.stack(side)], np.array([mix(tone, vein, 0.7)]), max(int(length * 0.006), 1))


def _stem(
    canvas: Canvas,
    rng: Rng,
    x: float,
    y: float,
    size: float,
    greens: tuple[np.ndarray, ...],
    mottle: np.ndarray,
) -> None:
    h = canvas.height
    foot = np.array([x + rng.normal(0, 0.5) * size, max(h * 1.05, y + size)])
    path = shapes.curve(
        np.array([foot, [(x + foot[0]) / 2 + rng.normal(0, 0.2) * size, (y + foot[1]) / 2], [x, y]])
    )
    canvas.fill(shapes.tube(path, np.linspace(0.1, 0.07, 24) * size), greens[1], bulge=1.0, texture=mottle)
    for k in range(int(rng.integers(0, 3))):
        _leaf(
            canvas,
            rng,
            path[6 + 5 * k],
            rng.choice([-0.5, -2.6]) + rng.normal(0, 0.3),
            size * rng.uniform(0.5, 1.0),
            greens,
            mottle,
        )


def _flower(canvas: Canvas, rng: Rng, x: float, y: float, size: float, mottle: np.ndarray) -> None:
    hue = rng.choice([0.0, 0.05, 0.12, 0.15, 0.75, 0.83, 0.92, 0.6]) + rng.normal(0, 0.02)
    petal = hsv(hue, rng.uniform(0.1, 0.9), rng.uniform(0.7, 1.0))
    inner = mix(petal, hsv(hue + rng.normal(0, 0.08), 0.8, rng.uniform(0.4, 0.9)), 0.6)
    count, rings = int(rng.integers(5, 22)), int(rng.integers(1, 5))
    wide = min(rng.uniform(1.3, 2.4) * 2 * np.pi / count * 0.5, 0.95)
    flat, turn, tilt = rng.uniform(0.55, 1.0), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.4)
    rotate = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    for ring in range(rings):
        reach = size * (1 - 0.75 * ring / rings)
        lines = []
        for k in rng.permutation(count):
            angle = turn + 2 * np.pi * (k + 0.5 * (ring % 2)) / count + rng.normal(0, 0.05)
            length = reach * rng.uniform(0.85, 1.05)
            tip = length * np.array([np.cos(angle), np.sin(angle)])
            outline, spine = shapes.leaf(np.zeros(2), tip, wide, rng.normal(0, 0.05), rng.uniform(1.3, 1.8))
            outline, spine = ((p * [1, flat]) @ rotate.T + [x, y] for p in (outline, spine))
            canvas.shadow(outline, size * 0.025, 0.35, (0, size * 0.02))
            tone = mix(petal, inner, ring / rings) * np.float32(rng.uniform(0.85, 1.08))
            canvas.fill(outline, tone, bulge=0.5, texture=mottle)
            for share in (-0.5, -0.25, 0, 0.25, 0.5):
                edge = outline[:24] if share > 0 else outline[::-1][:24]
                line = spine + (edge - spine) * abs(share) * 1.4
                lines.append(line[3:21:3])
            canvas.strokes([np.stack(lines[-5:])], np.array([mix(tone, inner, 0.6) * np.float32(0.85)]), 1)
    core = size * rng.uniform(0.12, 0.3)
    middle = hsv(rng.choice([0.1, 0.13, 0.25, 0.06]), 0.8, rng.uniform(0.3, 0.9))
    canvas.shadow(shapes.ellipse(x, y, core * 1.15, core * 1.15 * flat), size * 0.03, 0.5)
    canvas.ball((x, y), (core, core * flat), middle)
    n = 120
    radius, theta = core * 0.95 * np.sqrt((np.arange(n) + 0.5) / n), np.arange(n) * 2.39996
    dots = np.stack([x + radius * np.cos(theta), y + flat * radius * np.sin(theta)], -1)
    ticks = np.stack([dots, dots - [0, max(core * 0.07, 1.0)]], 1)
    canvas.strokes(
        [ticks[::2], ticks[1::2]],
        np.stack([middle * np.float32(1.35), middle * np.float32(0.5)]),
        max(int(core * 0.06), 1),
    )


def _trunk(canvas: Canvas, rng: Rng, greens: tuple[np.ndarray, ...]) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    canvas.image[:] = textures.leaves(rng, h, w, greens, u * rng.uniform(0.03, 0.1), canvas.light)
    canvas.defocus(u * rng.uniform(0, 0.03))
    horizon = h * rng.uniform(0.6, 0.9)
    floor = (near(rng, 0.07, 0.5, 0.3), near(rng, 0.09, 0.5, 0.5), near(rng, 0.11, 0.5, 0.65))
    outdoors.ground(canvas, horizon, textures.leaves(rng, h, w, floor, u * 0.06, canvas.light), 0.7)
    skin = textures.bark(rng, h, w, near(rng, 0.07, 0.3, 0.45), u * rng.uniform(0.015, 0.04), canvas.light)
    for _ in range(int(rng.integers(1, 4))):
        x, wide = w * rng.uniform(0.1, 0.9), u * rng.uniform(0.08, 0.4)
        base = horizon + (h - horizon) * rng.uniform(0.1, 1.1)
        path = np.array(
            [[x + rng.normal(0, 0.1) * u, -10], [x, base * 0.5], [x + rng.normal(0, 0.03) * u, base]]
        )
        trunk = shapes.tube(shapes.curve(path), wide * (0.75 + 0.6 * np.linspace(0, 1, 24) ** 6))
        canvas.shadow(trunk, u * 0.02, 0.4, (-canvas.light.direction[0] * u * 0.04, 0))
        canvas.fill(trunk, skin, bulge=0.9)
        for _ in range(int(rng.integers(0, 3))):
            y, s = base * rng.uniform(0.1, 0.5), rng.choice([-1, 1])
            limb = np.array(
                [[x, y], [x + s * wide, y - u * 0.08], [x + s * u * 0.5, y - u * rng.uniform(0.1, 0.3)]]
            )
            canvas.fill(shapes.tube(shapes.curve(limb), wide * np.linspace(0.35, 0.06, 24)), skin, bulge=0.9)
    if rng.uniform() < 0.5:
        textures.grass_blades(canvas, rng, h * 0.85, greens, u * rng.uniform(0.06, 0.15))


def _pot(canvas: Canvas, rng: Rng, greens: tuple[np.ndarray, ...], mottle: np.ndarray) -> None:
    h, w, u = canvas.height, canvas.width, canvas.unit
    x, base = w * rng.uniform(0.4, 0.6), h * rng.uniform(0.8, 0.93)
    table = textures.wood(rng, h, w, near(rng, 0.08, 0.4, 0.5), u * 0.15)
    outdoors.ground(canvas, base - u * rng.uniform(0.15, 0.3), table, 0.7)
    wide, tall = u * rng.uniform(0.13, 0.22), u * rng.uniform(0.2, 0.32)
    canvas.shadow(
        shapes.ellipse(x - canvas.light.direction[0] * wide * 0.6, base, wide * 1.1, wide * 0.25),
        u * 0.02,
        0.6,
    )
    clay = near(rng, rng.choice([0.04, 0.55, 0.1]), 0.45, 0.6)
    body = np.array(
        [[x - wide, base - tall], [x + wide, base - tall], [x + wide * 0.7, base], [x - wide * 0.7, base]]
    )
    for _ in range(int(rng.integers(8, 24))):
        angle = rng.normal(-np.pi / 2, 0.7)
        _leaf(
            canvas,
            rng,
            np.array([x + rng.normal(0, 0.3) * wide, base - tall]),
            angle,
            u * rng.uniform(0.2, 0.5),
            greens,
            mottle,
        )
    canvas.fill(body, clay, bulge=0.8, texture=mottle)
    rim = shapes.rectangle(x - wide * 1.08, base - tall * 1.05, x + wide * 1.08, base - tall * 0.82)
    canvas.shadow(rim, u * 0.01, 0.4, (0, u * 0.01))
    canvas.fill(rim, clay * np.float32(1.08), bulge=0.7, texture=mottle)
    if rng.uniform() < 0.5:
        for _ in range(int(rng.integers(2, 6))):
            _flower(
                canvas,
                rng,
                x + rng.normal(0, 0.15) * u,
                base - tall - u * rng.uniform(0.1, 0.4),
                u * rng.uniform(0.05, 0.1),
                mottle,
            )
