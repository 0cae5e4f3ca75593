"""Animals: furry heads and bodies with patterned coats, in the grass, in a room or before a blur."""

import numpy as np

from . import outdoors, shapes, textures
from .canvas import Canvas
from .colour import hsv, mix, near, rgb
from .noise import Rng


def draw_animal(canvas: Canvas, rng: Rng) -> None:
    """Draw one to three animals over the whole canvas."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    place = str(rng.choice(["blur", "blur", "meadow", "room"]))
    horizon = h * rng.uniform(0.25, 0.6)
    greens = outdoors.foliage_colours(rng)
    if place == "blur":
        outdoors.blurred_backdrop(canvas, rng)
    elif place == "meadow":
        haze = outdoors.sky(canvas, rng, horizon)
        outdoors.hills(canvas, rng, horizon, u * rng.uniform(0.05, 0.2), greens[1], haze, 0.4)
        soil = textures.stone(rng, h, w, greens[0], greens[1], canvas.light)
        outdoors.ground(canvas, horizon, soil, 0.8)
        if rng.uniform() < 0.5:
            canvas.defocus(u * rng.uniform(0.005, 0.02))
        textures.grass_blades(canvas, rng, horizon, greens, u * rng.uniform(0.05, 0.12))
    else:
        canvas.image[:] = textures.plain(rng, h, w, near(rng, rng.uniform(), 0.2, 0.65), 0.03)
        floor = textures.wood(rng, h, w, near(rng, 0.08, 0.45, 0.5), u * 0.12)
        if rng.uniform() < 0.5:
            cloth = (near(rng, rng.uniform(), 0.4, 0.5), near(rng, rng.uniform(), 0.3, 0.7))
            floor = textures.fabric(rng, h, w, cloth, u * 0.008)
        outdoors.ground(canvas, horizon, floor, 0.7)
        canvas.defocus(u * rng.uniform(0, 0.008))
    hairs = _coat(canvas, rng)
    if rng.uniform() < 0.5:
        _head(
            canvas,
            rng,
            w * rng.uniform(0.38, 0.62),
            h * rng.uniform(0.42, 0.56),
            u * rng.uniform(0.24, 0.36),
            hairs,
            True,
        )
    else:
        for k in range(int(rng.choice([1, 1, 2, 3]))):
            _whole(
                canvas,
                rng,
                w * rng.uniform(0.2, 0.8) if k else w * rng.uniform(0.35, 0.6),
                h * rng.uniform(0.75, 0.92),
                u * rng.uniform(0.25, 0.42),
                hairs,
            )
    if place == "meadow":
        textures.grass_blades(canvas, rng, h * 0.93, greens, u * rng.uniform(0.08, 0.16))


def _coat(canvas: Canvas, rng: Rng) -> np.ndarray:
    """A fur texture of the canvas' size."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    hue = rng.choice([0.05, 0.07, 0.09, 0.1, 0.6])
    saturation = rng.uniform(0.05, 0.65) if hue < 0.5 else 0.08
    value = rng.uniform(0.2, 0.9)
    main = hsv(hue, saturation, value)
    dark, pale = mix(main, rgb(0.06, 0.05, 0.04), 0.7), mix(main, rgb(0.95, 0.92, 0.88), 0.6)
    pattern = str(rng.choice(["plain", "plain", "stripes", "spots", "patches"]))
    colours: tuple[np.ndarray, ...] = (dark, main) if pattern in ("stripes", "spots") else (main, pale)
    if pattern == "plain":
        colours = (mix(main, dark, 0.4), main, mix(main, pale, 0.4))
    return textures.fur(
        rng, h, w, colours, u * rng.uniform(0.015, 0.06), rng.uniform(0.2, 0.8) * np.pi, pattern
    )


def _fringe(canvas: Canvas, rng: Rng, outline: np.ndarray, length: float) -> None:
    """Let hairs stick out over an outline, in the colours inside it, so that its edge is furry."""
    centre = outline.mean(0)
    dense = np.linspace(0, len(outline), int(max(np.ptp(outline[:, 0]) * 1.1, 60)), endpoint=False)
    index = dense.astype(int)
    nxt = (index + 1) % len(outline)
    foot = outline[index] + (outline[nxt] - outline[index]) * (dense - index)[:, None]
    out = foot - centre
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    out = out + rng.normal(0, 0.35, out.shape) + [0, 0.35]
    reach = length * rng.uniform(0.3, 1.0, (len(foot), 1))
    hairs = np.stack([foot - out * reach * 0.8, foot, foot + out * reach * 0.7 + [0, 0.15] * reach], 1)
    inner = np.clip(foot - out * length, 0, [canvas.width - 1, canvas.height - 1]).astype(int)
    tones = canvas.image[inner[:, 1], inner[:, 0]] * rng.uniform(0.85, 1.15, (len(foot), 1))
    visible = (foot > -length).all(1) & (foot < [canvas.width + length, canvas.height + length]).all(1)
    if visible.any():
        canvas.strokes(list(hairs[visible][:, None]), tones[visible], 1)


def _eye(canvas: Canvas, x: float, y: float, r: float, iris: np.ndarray, slit: float) -> None:
    canvas.fill(shapes.ellipse(x, y, r * 1.25, r * 1.05), rgb(0.05, 0.04, 0.04), soft=1.0)
    canvas.ball((x, y), (r, r * 0.92), iris)
    spokes = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ray = np.stack([np.cos(spokes), np.sin(spokes)], -1)
    lines = np.stack([[x, y] + ray * r * 0.3, [x, y] + ray * r * 0.8], 1)
    canvas.strokes([lines], np.array([iris * np.float32(0.6)]), 1)
    canvas.fill(shapes.ellipse(x, y, r * 0.55 * slit, r * 0.62), rgb(0.02, 0.02, 0.02))
    canvas.fill(shapes.ellipse(x - r * 0.3, y - r * 0.35, r * 0.2, r * 0.16), rgb(1, 1, 1), soft=0.5)


def _head(canvas: Canvas, rng: Rng, x: float, y: float, r: float, coat: np.ndarray, body: bool) -> None:
    ears = str(rng.choice(["pointed", "round", "floppy", "none"]))
    wide, tall = r * rng.uniform(0.8, 1.1), r * rng.uniform(0.8, 1.1)
    inner = near(rng, 0.03, 0.35, 0.65)
    if body:
        chest = shapes.blob(
            rng, x + r * rng.normal(0, 0.3), y + r * 1.9, r * rng.uniform(1.1, 1.7), r * 1.5, 0.1
        )
        canvas.fill(chest, coat, bulge=0.8)
        _fringe(canvas, rng, chest, r * 0.1)
        canvas.shadow(shapes.ellipse(x, y + r * 0.35, wide, tall), r * 0.15, 0.5)
    for s in (-1, 1):
        ex, ey = x + s * wide * 0.68, y - tall * 0.68
        if ears == "pointed":
            tip = np.array([ex + s * r * rng.uniform(0.05, 0.3), ey - r * rng.uniform(0.45, 0.8)])
            ear = np.array([[ex - s * r * 0.38, ey - r * 0.05], tip, [ex + s * r * 0.3, ey + r * 0.35]])
            hole = ear * 0.62 + ear.mean(0) * 0.38
        elif ears == "round":
            ear = shapes.ellipse(ex, ey - r * 0.05, r * 0.34, r * 0.34)
            hole = shapes.ellipse(ex, ey, r * 0.2, r * 0.22)
        elif ears == "floppy":
            ear, _ = shapes.leaf(
                np.array([ex - s * r * 0.1, ey]), np.array([ex + s * r * 0.45, ey + r * 1.1]), 0.5, s * 0.1
            )
            hole = None
        else:
            continue
        canvas.fill(ear, coat, bulge=0.7)
        _fringe(canvas, rng, ear, r * 0.06)
        if hole is not None:
            canvas.fill(hole, inner, soft=r * 0.03)
    face = shapes.blob(rng, x, y, wide, tall, 0.07)
    canvas.fill(face, coat, bulge=0.9)
    _fringe(canvas, rng, face, r * 0.08)
    muzzle_y = y + tall * rng.uniform(0.35, 0.5)
    snout = r * rng.uniform(0.3, 0.5)
    pale = mix(coat, rgb(0.95, 0.92, 0.88), rng.uniform(0.2, 0.6))
    canvas.fill(shapes.ellipse(x, muzzle_y, snout, snout * 0.75), pale, bulge=0.7, soft=r * 0.03)
    iris = hsv(rng.choice([0.08, 0.1, 0.14, 0.3, 0.56]), rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.8))
    gap, size, slit = wide * rng.uniform(0.36, 0.5), r * rng.uniform(0.1, 0.18), rng.choice([0.4, 1.0])
    for s in (-1, 1):
        canvas.shadow(shapes.ellipse(x + s * gap, y - tall * 0.1, size * 1.7, size * 1.4), size * 0.5, 0.35)
        _eye(canvas, x + s * gap, y - tall * 0.1, size, iris, slit)
    nose = shapes.closed(
        np.array([[-0.5, -0.3], [0.5, -0.3], [0.25, 0.3], [0, 0.42], [-0.25, 0.3]]) * snout * 0.62
        + [x, muzzle_y - snout * 0.25]
    )
    canvas.fill(nose, near(rng, 0.02, 0.35, rng.choice([0.12, 0.5])), bulge=1.0)
    canvas.fill(
        shapes.ellipse(x - snout * 0.08, muzzle_y - snout * 0.36, snout * 0.1, snout * 0.04),
        rgb(0.9, 0.9, 0.9),
        alpha=0.6,
        soft=1.0,
    )
    lip = np.array([[0, 0.05], [0, 0.35], [0.2, 0.5], [0.5, 0.4]]) * snout
    mouth = [shapes.curve(lip * [s, 1] + [x, muzzle_y], 12)[None] for s in (-1, 1)]
    canvas.strokes(mouth, np.full((2, 3), 0.08), max(int(r * 0.02), 1))
    start = rng.uniform([-0.6, -0.05], [0.6, 0.3], (18, 2)) * snout + [x, muzzle_y]
    side = np.sign(start[:, :1] - x)
    hair = np.stack(
        [
            start,
            start + side * [r * 0.4, -r * 0.02],
            start + np.hstack([side * r * 0.75, rng.normal(0, r * 0.12, (18, 1))]),
        ],
        1,
    )
    canvas.strokes([hair], np.array([[0.9, 0.9, 0.88]]), 1)


def _whole(canvas: Canvas, rng: Rng, x: float, base: float, size: float, coat: np.ndarray) -> None:
    """A standing or lying animal in profile, its feet on the row `base`."""
    facing = float(rng.choice([-1, 1]))
    long, deep, leg = (
        size * rng.uniform(0.7, 1.0),
        size * rng.uniform(0.32, 0.48),
        size * rng.uniform(0.1, 0.7),
    )
    cy = base - leg - deep * 0.7
    shade = shapes.ellipse(x, base, long * 0.95, deep * 0.25)
    canvas.shadow(shade, size * 0.05, 0.6)
    for k, offset in enumerate((-0.62, 0.55, -0.75, 0.68)):
        foot = x + offset * long + rng.normal(0, 0.05) * size
        path = np.array(
            [[x + offset * long, cy], [foot + facing * 0.03 * size, (cy + base) / 2], [foot, base]]
        )
        limb = shapes.tube(shapes.curve(path), np.linspace(0.3, 0.13, 24) * size)
        canvas.fill(limb, coat * np.float32(0.7 if k < 2 else 1.0), bulge=0.9)
        if k == 1:
            tail = np.array(
                [
                    [x - facing * long, cy - deep * 0.3],
                    [x - facing * long * 1.4, cy + rng.normal(0, 0.4) * deep],
                    [x - facing * long * 1.5, cy - deep * rng.uniform(-1, 1.5)],
                ]
            )
            canvas.fill(shapes.tube(shapes.curve(tail), np.linspace(0.14, 0.05, 24) * size), coat, bulge=0.9)
    outline = np.array(
        [
            [-1, -0.2],
            [-0.6, -0.75],
            [0, -0.62],
            [0.6, -0.85],
            [1.02, -0.5],
            [0.95, 0.3],
            [0.5, 0.75],
            [-0.1, 0.7],
            [-0.7, 0.72],
            [-1.02, 0.3],
        ]
    )
    outline = shapes.closed(outline * (1 + rng.normal(0, 0.05, (10, 2))) * [facing * long, deep] + [x, cy])
    canvas.fill(outline, coat, bulge=0.9)
    _fringe(canvas, rng, outline, size * 0.06)
    neck = np.array(
        [
            [x + facing * long * 0.75, cy - deep * 0.2],
            [x + facing * long * 1.05, cy - deep * rng.uniform(0.8, 1.8)],
        ]
    )
    canvas.fill(shapes.tube(neck, np.array([0.5, 0.34]) * size), coat, bulge=0.9)
    _head(canvas, rng, neck[1, 0], neck[1, 1], size * rng.uniform(0.24, 0.34), coat, False)
