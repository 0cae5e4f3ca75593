"""People: portraits with shaded skin, hair drawn strand by strand, and woven clothes."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .colour import anything, hsv, mix, near, rgb, skin
from .noise import Rng


def draw_human(canvas: Canvas, rng: Rng) -> None:
    """Draw one portrait, or two people side by side, over the whole canvas."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    if rng.uniform() < 0.75:
        outdoors.blurred_backdrop(canvas, rng)
    else:
        wall = near(rng, rng.uniform(), 0.25, 0.6)
        canvas.image[:] = textures.masonry(
            rng, h, w, wall, wall * np.float32(1.2), u * rng.uniform(0.05, 0.12), canvas.light
        )
        canvas.defocus(u * rng.uniform(0, 0.01))
    if rng.uniform() < 0.2 or w > 1.5 * h:
        for x in (0.3, 0.7):
            _person(
                canvas, rng, w * rng.normal(x, 0.02), h * rng.uniform(0.36, 0.5), u * rng.uniform(0.14, 0.19)
            )
    else:
        _person(
            canvas, rng, w * rng.uniform(0.36, 0.64), h * rng.uniform(0.33, 0.5), u * rng.uniform(0.17, 0.33)
        )


def _person(canvas: Canvas, rng: Rng, x: float, y: float, r: float) -> None:
    """A head of half-height about `r` around (x, y), with shoulders below."""
    h, w = canvas.height, canvas.width
    tone = skin(rng)
    hair = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.15, 0.65), rng.choice([0.08, 0.16, 0.3, 0.5, 0.7]))
    if rng.uniform() < 0.12:
        hair = rgb(0.75, 0.75, 0.76)
    wide, tall = r * rng.uniform(0.68, 0.8), r
    style = str(rng.choice(["short", "long", "long", "bald", "curly"]))
    pores = noise.spectral(rng, h, w, 0.6) * np.float32(0.018) + noise.spectral(
        rng, h, w, 1.6, coarse=4
    ) * np.float32(0.03)
    flesh = tone * (1 + pores)[:, :, None]
    if style in ("long", "curly"):
        length = rng.uniform(0.6, 1.9) if style == "long" else 0.4
        back = shapes.closed(
            np.array(
                [
                    [-1.1, -0.3],
                    [-0.7, -1.15],
                    [0, -1.35],
                    [0.7, -1.15],
                    [1.1, -0.3],
                    [1.2, length],
                    [0.5, length + 0.2],
                    [-0.5, length + 0.2],
                    [-1.2, length],
                ]
            )
            * [wide * 1.12, tall]
            + [x, y]
        )
        canvas.fill(back, hair * np.float32(0.65), bulge=0.5)
        _strands(canvas, rng, x, y, wide, tall, hair, length, style == "curly")
    _torso(canvas, rng, x, y, r, flesh)
    jaw = rng.uniform(0.75, 1.0)
    head = shapes.closed(
        np.array(
            [
                [-1, -0.15],
                [-0.92, -0.68],
                [-0.45, -1.02],
                [0.45, -1.02],
                [0.92, -0.68],
                [1, -0.15],
                [0.9 * jaw, 0.45],
                [0.55 * jaw, 0.85],
                [0, 1.03],
                [-0.55 * jaw, 0.85],
                [-0.9 * jaw, 0.45],
            ]
        )
        * [wide, tall]
        + [x, y]
    )
    for s in (-1, 1):
        canvas.ball((x + s * wide * 1.0, y + tall * 0.05), (wide * 0.14, tall * 0.2), flesh * np.float32(0.9))
    canvas.shadow(head, r * 0.1, 0.45, (0, r * 0.22))
    canvas.fill(head, flesh, bulge=0.75)
    _face(canvas, rng, x, y, wide, tall, tone, hair)
    if style != "bald":
        _top(canvas, rng, x, y, wide, tall, hair, style == "curly")


def _torso(canvas: Canvas, rng: Rng, x: float, y: float, r: float, flesh: np.ndarray) -> None:
    h, w = canvas.height, canvas.width
    neck = np.array([[x, y + r * 0.4], [x, y + r * 1.6]])
    canvas.fill(shapes.tube(neck, np.array([0.75, 0.95]) * r), flesh * np.float32(0.86), bulge=0.8)
    cloth = textures.fabric(
        rng, h, w, (anything(rng, 0.5), anything(rng, 0.5)), max(r * rng.uniform(0.012, 0.035), 2.0)
    )
    folds = noise.warp(
        noise.streaks(rng, h // 4 + 1, w // 4 + 1, r * 0.3, r * 0.06, rng.uniform(1.0, 2.1)), rng, r * 0.1
    )
    crease = 1 + np.clip(folds, -2, 2) * np.float32(0.06)
    crease = np.kron(crease, np.ones((4, 4), np.float32))[:h, :w]
    broad, drop = rng.uniform(1.6, 2.1) * r, rng.uniform(0.2, 0.5)
    outline = np.array(
        [
            [-0.3, 1.15],
            [-1, 1.2 + drop],
            [-1.15, 2.4],
            [-1.25, 5.0],
            [1.25, 5.0],
            [1.15, 2.4],
            [1, 1.2 + drop],
            [0.3, 1.15],
            [0, 1.35 + rng.uniform(0, 0.5)],
        ]
    )
    torso = shapes.closed(outline * [broad, r] + [x, y], 90)
    canvas.fill(torso, cloth, bulge=0.55, texture=crease)
    if rng.uniform() < 0.5:
        collar = near(rng, rng.uniform(), 0.15, 0.85)
        for s in (-1, 1):
            flap = np.array([[s * 0.42, 1.1], [s * 0.62, 1.45], [s * 0.2, 1.85], [0, 1.55]]) * r + [x, y]
            canvas.shadow(flap, r * 0.04, 0.4, (0, r * 0.04))
            canvas.fill(flap, collar, bulge=0.3)
    for k in range(int(rng.choice([0, 0, 4]))):
        canvas.ball((x, y + r * (1.9 + 0.4 * k)), (r * 0.05, r * 0.05), rgb(0.9, 0.9, 0.88), gloss=0.4)


def _face(
    canvas: Canvas, rng: Rng, x: float, y: float, wide: float, tall: float, tone: np.ndarray, hair: np.ndarray
) -> None:
    blush = mix(tone, rgb(0.85, 0.25, 0.25), 0.35)
    dark = mix(tone, rgb(0.15, 0.05, 0.03), 0.6)
    for s in (-1, 1):
        canvas.fill(
            shapes.ellipse(x + s * wide * 0.55, y + tall * 0.32, wide * 0.26, tall * 0.17),
            blush,
            alpha=0.3,
            soft=wide * 0.09,
        )
    gap, eye_y, size = (
        wide * rng.uniform(0.4, 0.46),
        y - tall * rng.uniform(0.02, 0.12),
        wide * rng.uniform(0.16, 0.22),
    )
    opened = rng.uniform(0.38, 0.6)
    iris = hsv(rng.choice([0.07, 0.08, 0.28, 0.57]), rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.6))
    brow_h = rng.uniform(0.03, 0.07) * tall
    for s in (-1, 1):
        ex = x + s * gap
        canvas.fill(
            shapes.ellipse(ex, eye_y - size * 0.15, size * 1.35, size * 0.9),
            dark,
            alpha=0.35,
            soft=size * 0.3,
        )
        lens, _ = shapes.leaf(
            np.array([ex - size, eye_y + size * 0.1]), np.array([ex + size, eye_y + size * 0.02]), opened
        )
        canvas.fill(lens, rgb(0.93, 0.91, 0.9), bulge=0.3)
        inside = np.clip(
            shapes.ellipse(ex, eye_y, size * 0.44, size * 0.44),
            [ex - size, eye_y - size * opened],
            [ex + size, eye_y + size * opened * 0.95],
        )
        canvas.fill(inside, iris)
        canvas.fill(shapes.ellipse(ex, eye_y, size * 0.2, size * 0.2), rgb(0.02, 0.02, 0.02))
        canvas.fill(
            shapes.ellipse(ex - size * 0.14, eye_y - size * 0.16, size * 0.09, size * 0.09),
            rgb(1.1, 1.1, 1.1),
        )
        lid = shapes.curve(
            np.array([[-1.05, 0.12], [-0.5, -opened * 0.85], [0.2, -opened], [1.1, 0.0]]) * [s * size, size]
            + [ex, eye_y]
        )
        canvas.fill(shapes.tube(lid, np.linspace(0.08, 0.16, 24) * size), rgb(0.08, 0.05, 0.04))
        canvas.fill(shapes.tube(lid - [0, size * 0.28], np.full(24, 0.05) * size), dark, alpha=0.6)
        brow = shapes.curve(
            np.array([[-1.1, 0.2], [0.1, -0.25], [1.35, 0.15]]) * [s * size, brow_h]
            + [ex, eye_y - tall * 0.2]
        )
        start = brow[rng.integers(0, 24, 90)] + rng.normal(0, brow_h * 0.28, (90, 2))
        hairs = np.stack(
            [start, start + np.array([s * size * 0.3, -brow_h * 0.5]) * rng.uniform(0.4, 1, (90, 1))], 1
        )
        canvas.strokes([hairs], np.array([hair * np.float32(0.6)]), 1)
    length, flare = tall * rng.uniform(0.34, 0.42), wide * rng.uniform(0.17, 0.26)
    tip = eye_y + length
    ridge = np.array([[x, eye_y], [x + wide * 0.02, eye_y + length * 0.6], [x, tip]])
    canvas.fill(
        shapes.tube(shapes.curve(ridge), np.linspace(0.1, 0.2, 24) * wide),
        mix(tone, rgb(1, 0.97, 0.92), 0.5),
        alpha=0.35,
        soft=wide * 0.04,
    )
    side = -float(np.sign(canvas.light.direction[0]) or 1.0)
    canvas.fill(
        shapes.tube(
            shapes.curve(ridge + np.array([side * wide * 0.13, 0])), np.linspace(0.06, 0.16, 24) * wide
        ),
        dark,
        alpha=0.3,
        soft=wide * 0.04,
    )
    canvas.ball((x, tip - flare * 0.1), (flare * 0.62, flare * 0.55), mix(tone, blush, 0.12))
    canvas.fill(
        shapes.ellipse(x, tip + flare * 0.42, flare * 0.9, flare * 0.16), dark, alpha=0.5, soft=flare * 0.12
    )
    for s in (-1, 1):
        canvas.fill(
            shapes.ellipse(x + s * flare * 0.5, tip + flare * 0.32, flare * 0.22, flare * 0.13),
            rgb(0.12, 0.05, 0.04),
            alpha=0.8,
            soft=1.0,
        )
    mouth_y, half = y + tall * rng.uniform(0.56, 0.64), wide * rng.uniform(0.3, 0.44)
    lips = mix(blush, rgb(0.7, 0.15, 0.2), rng.uniform(0.1, 0.7))
    smile = rng.uniform(-0.02, 0.12) * tall
    upper = np.array(
        [
            [-1, 0],
            [-0.4, -0.5],
            [-0.1, -0.62],
            [0, -0.5],
            [0.1, -0.62],
            [0.4, -0.5],
            [1, 0],
            [0.5, 0.5],
            [0, 0.72],
            [-0.5, 0.5],
        ]
    )
    bow = shapes.closed(
        upper * [half, tall * 0.085]
        + [x, mouth_y]
        + np.stack([0 * upper[:, 0], -smile * upper[:, 0] ** 2], -1)
    )
    canvas.fill(bow, lips, bulge=0.7, soft=0.8)
    line = shapes.curve(
        np.array([[-1, 0], [-0.4, 0.1], [0.4, 0.1], [1, 0]]) * [half, tall * 0.085]
        + [x, mouth_y]
        + np.array([[0, -smile], [0, -0.1 * smile], [0, -0.1 * smile], [0, -smile]])
    )
    if smile > 0.06 * tall:
        canvas.fill(shapes.tube(line, np.sin(np.linspace(0, np.pi, 24)) * tall * 0.07), rgb(0.93, 0.91, 0.87))
    canvas.fill(shapes.tube(line, np.full(24, tall * 0.012)), rgb(0.25, 0.07, 0.07), alpha=0.8)
    canvas.shadow(shapes.ellipse(x, mouth_y + tall * 0.12, half * 0.6, tall * 0.02), tall * 0.025, 0.35)
    if rng.uniform() < 0.2:
        _glasses(canvas, rng, x, eye_y, gap, size)
    if rng.uniform() < 0.18:
        start = np.stack([x + rng.normal(0, wide * 0.42, 1500), y + tall * rng.uniform(0.4, 1.0, 1500)], -1)
        inside = (np.hypot((start[:, 0] - x) / wide, (start[:, 1] - y) / tall) < 0.98) & (
            np.hypot((start[:, 0] - x) / half, (start[:, 1] - mouth_y) / (tall * 0.1)) > 1.05
        )
        start = start[inside]
        hairs = np.stack(
            [start, start + np.array([0, tall * 0.05]) + rng.normal(0, tall * 0.015, start.shape)], 1
        )
        canvas.strokes([hairs[::2], hairs[1::2]], np.stack([hair, hair * np.float32(0.6)]), 1)


def _glasses(canvas: Canvas, rng: Rng, x: float, y: float, gap: float, size: float) -> None:
    frame = near(rng, rng.uniform(), 0.4, 0.2)
    for s in (-1, 1):
        rim = shapes.ellipse(x + s * gap, y + size * 0.15, size * 1.6, size * 1.25)
        canvas.fill(rim, rgb(0.9, 0.95, 1.0), alpha=0.12)
        canvas.fill(shapes.tube(rim, np.full(len(rim), size * 0.14)), frame)
        temple = np.array([[x + s * (gap + size * 1.55), y], [x + s * (gap + size * 2.6), y - size * 0.1]])
        canvas.fill(shapes.tube(temple, np.full(2, size * 0.14)), frame)
    bridge = shapes.curve(
        np.array([[x - gap + size * 1.55, y], [x, y - size * 0.2], [x + gap - size * 1.55, y]])
    )
    canvas.fill(shapes.tube(bridge, np.full(24, size * 0.14)), frame)


def _strands(
    canvas: Canvas,
    rng: Rng,
    x: float,
    y: float,
    wide: float,
    tall: float,
    hair: np.ndarray,
    length: float,
    curly: bool,
) -> None:
    """Hair that falls behind the face, down to `length` head heights below the eyes."""
    paths, tones = [], []
    for _ in range(42):
        n = 20
        s = rng.uniform(-1, 1, n)
        t = np.linspace(0, 1, 10)[None, :]
        px = x + wide * 1.25 * np.sign(s)[:, None] * np.abs(s)[:, None] ** 0.4 * (
            0.25 + 0.75 * np.sin(t * 1.5)
        )
        py = y - tall * 1.25 + tall * (1.3 + length) * t**1.15
        wave = rng.uniform(0.02, 0.06) * (2.5 if curly else 1.0)
        px = px + wide * wave * np.sin(t * rng.uniform(6, 22) + rng.uniform(0, 6, (n, 1))) * t
        paths.append(np.stack([px, py + 0 * px], -1))
        tones.append(hair * np.float32(rng.uniform(0.45, 1.15)))
    canvas.strokes(paths, np.array(tones), 2)


def _top(
    canvas: Canvas, rng: Rng, x: float, y: float, wide: float, tall: float, hair: np.ndarray, curly: bool
) -> None:
    """Hair on the crown and the forehead, from a random parting."""
    line = rng.uniform(-0.75, -0.55)
    parting = rng.uniform(-0.5, 0.5)
    outer = np.array(
        [[-1.08, 0.05], [-1.1, -0.5], [-0.75, -1.1], [0, -1.25], [0.75, -1.1], [1.1, -0.5], [1.08, 0.05]]
    )
    inner = np.array(
        [[0.93, -0.3], [0.7, line + 0.1], [parting, line - 0.08], [-0.7, line + 0.1], [-0.93, -0.3]]
    )
    cap = shapes.closed(np.vstack([outer, inner]) * [wide, tall] + [x, y], 120)
    canvas.fill(cap, hair * np.float32(0.8), bulge=0.6)
    paths, tones = [], []
    root = np.array([x + parting * wide * 0.9, y - tall * 1.12])
    for _ in range(48):
        n = 14
        s = rng.uniform(-1, 1, n)
        end = np.stack(
            [
                x + wide * (1.05 * np.sign(s) * np.abs(s) ** 0.35),
                y + tall * (line + 0.1 + 0.55 * np.abs(s) ** 3 + rng.normal(0, 0.03, n)),
            ],
            -1,
        )
        start = root + np.stack([s * wide * 0.5, np.abs(s) ** 2 * tall * 0.12], -1)
        middle = (start + end) / 2 + np.stack([s * wide * 0.3, -tall * 0.13 * np.abs(s)], -1)
        t = np.linspace(0, 1, 9)[None, :, None]
        path = (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * middle[:, None] + t**2 * end[:, None]
        if curly:
            path = path + wide * 0.06 * np.sin(t * 25 + rng.uniform(0, 6, (n, 1, 1)) + np.array([0, 1.5]))
        paths.append(path)
        shine = rng.uniform(1.2, 1.45) if rng.uniform() < 0.2 else rng.uniform(0.55, 1.15)
        tones.append(hair * np.float32(shine))
    canvas.strokes(paths, np.array(tones), 2)
