"""Surfaces: each function returns a picture (h, w, 3) float32 of one material, evenly lit.

`scale` is the size of the structure in canvas pixels: a brick's height, a blade's length, a thread's width.
"""

import cv2
import numpy as np

from . import noise
from .canvas import Canvas, Light, relief
from .colour import between, hsv, mix, near, ramp, rgb
from .noise import Rng


def plain(rng: Rng, h: int, w: int, colour: np.ndarray, roughness: float = 0.05) -> np.ndarray:
    """Plaster, painted wall, paper, sand: one colour with a fractal unevenness."""
    field = noise.spectral(rng, h, w, rng.uniform(0.7, 1.2)) * np.float32(roughness)
    field += noise.smooth(rng, h, w, 2.5) * np.float32(roughness)
    return colour * (1 + field)[:, :, None]


def stone(rng: Rng, h: int, w: int, dark: np.ndarray, light: np.ndarray, lamp: Light) -> np.ndarray:
    """Rough rock or concrete: fractal relief in two colours."""
    field = noise.spectral(rng, h, w, rng.uniform(1.1, 1.5))
    shade = relief(field, lamp, rng.uniform(2.0, 5.0))
    return between(noise.unit_range(field), dark, light) * shade[:, :, None]


def fur(
    rng: Rng,
    h: int,
    w: int,
    colours: tuple[np.ndarray, ...],
    length: float,
    angle: float,
    pattern: str = "plain",
) -> np.ndarray:
    """An animal's coat: hairs along `angle` (radians), with spots, stripes or patches."""
    hairs = noise.streaks(rng, h, w, length, 1.0, angle)
    tufts = noise.streaks(rng, h // 2 + 1, w // 2 + 1, length, 4.0, angle)
    hairs = hairs * np.float32(0.8) + cv2.resize(tufts, (w, h)) * np.float32(0.35)
    hairs = noise.warp(hairs, rng, length * 0.9, 5)
    tone = noise.unit_range(noise.spectral(rng, h, w, 1.8, coarse=4))
    if pattern == "stripes":
        bands = noise.smooth(rng, h, w, 4) * 5 + np.linspace(0, rng.uniform(25, 60), w, dtype=np.float32)
        tone = np.clip(np.sin(bands) * 2.2 + 0.5 + hairs * np.float32(0.25), 0, 1)
    elif pattern == "spots":
        _, distance, _ = noise.cells(rng, h, w, max(h, w) / rng.uniform(9, 20))
        limit = max(h, w) / rng.uniform(40, 55)
        tone = np.clip((distance - limit) / 4 + 0.5 + hairs * np.float32(0.2), 0, 1)
    elif pattern == "patches":
        tone = np.clip(noise.spectral(rng, h, w, 2.4, coarse=4) * 4 + 0.5 + hairs * np.float32(0.3), 0, 1)
    coat = ramp(tone, *colours)
    return coat * np.maximum(1 + hairs * np.float32(0.22), 0.15)[:, :, None]


def bark(rng: Rng, h: int, w: int, colour: np.ndarray, scale: float, lamp: Light) -> np.ndarray:
    """A trunk's ridges and cracks, running vertically."""
    ridges = noise.streaks(rng, h, w, scale * rng.uniform(3, 6), scale * 0.7, np.pi / 2)
    ridges = noise.warp(ridges, rng, scale * 0.7, 6)
    form = 1 - np.abs(ridges)
    fine = noise.spectral(rng, h, w, 0.9)
    shade = relief(form * np.float32(scale * 0.35) + fine * np.float32(0.35), lamp, 2.0)
    moss = mix(colour, near(rng, 0.24, 0.35, 0.45), rng.uniform(0, 0.5))
    base = between(noise.unit_range(noise.spectral(rng, h, w, 1.8, coarse=4)), colour, moss)
    return base * (shade * np.clip(0.55 + 0.5 * form, 0.2, 1.1))[:, :, None]


def wood(rng: Rng, h: int, w: int, colour: np.ndarray, plank: float) -> np.ndarray:
    """Boards that run horizontally, `plank` pixels high, each with its own tone and grain."""
    rows = (np.arange(h) / max(plank, 4)).astype(int)
    grain = noise.streaks(rng, h, w, plank * 1.8, max(plank / 28, 1.0), 0.0)
    grain = noise.warp(grain, rng, plank * 0.06, 5) * np.float32(0.08)
    tones = rng.normal(1.0, 0.09, rows.max() + 2).astype(np.float32)[rows]
    gap = np.abs((np.arange(h) / max(plank, 4)) % 1 - 0.5) * plank
    tones *= 1 - 0.6 * np.clip(1.6 - (plank / 2 - gap), 0, 1).astype(np.float32)
    board = colour * ((1 + grain) * tones[:, None])[:, :, None]
    length = plank * rng.uniform(4, 8)
    starts = rng.uniform(0, length, rows.max() + 2)[rows]
    along = (np.arange(w)[None, :] + starts[:, None]) % length
    board *= (1 - 0.55 * (along < 2.0)).astype(np.float32)[:, :, None]
    return board


def masonry(
    rng: Rng,
    h: int,
    w: int,
    colour: np.ndarray,
    mortar: np.ndarray,
    scale: float,
    lamp: Light,
    aspect: float = 2.6,
) -> np.ndarray:
    """Bricks or tiles in bond: `scale` is the height of a course, `aspect` width over height."""
    bend = noise.smooth(rng, h, w, 6) * np.float32(scale * 0.05)
    y = (np.arange(h, dtype=np.float32)[:, None] + bend) / np.float32(scale)
    row = np.floor(y)
    offset = 0.5 * (row % 2) if aspect > 1.4 else 0
    x = np.arange(w, dtype=np.float32)[None, :] / np.float32(scale * aspect) + offset
    column = np.floor(x)
    gap = max(scale * rng.uniform(0.04, 0.1), 1.2)
    inside_y = np.minimum(y - row, 1 - (y - row)) * np.float32(scale)
    inside_x = np.minimum(x - column, 1 - (x - column)) * np.float32(scale * aspect)
    grit = noise.spectral(rng, h, w, 0.8)
    edge = np.minimum(inside_y, inside_x) + grit * np.float32(gap * 0.25)
    brick = np.clip(edge - np.float32(gap), 0, 2) * np.float32(0.5)
    table = rng.normal(1.0, rng.uniform(0.04, 0.16), 1009).astype(np.float32)
    tone = table[((row * 37 + column * 101) % 1009).astype(np.int32)]
    face = colour * (tone * (1 + grit * np.float32(rng.uniform(0.03, 0.1))))[:, :, None]
    joint = mortar * (1 + grit * np.float32(0.08))[:, :, None]
    shade = relief(brick * np.float32(2.5), lamp, 1.0)
    return mix_masked(joint, face, brick) * shade[:, :, None]


def mix_masked(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blend two pictures by a (H, W) weight in [0, 1]."""
    mixed = (second - first).astype(np.float32, copy=False)
    mixed *= noise.triple(weight)
    mixed += first
    return mixed


def fabric(
    rng: Rng, h: int, w: int, colours: tuple[np.ndarray, ...], scale: float, pattern: str | None = None
) -> np.ndarray:
    """Cloth: threads of `scale` pixels; plain, striped, checked or dotted; with slight unevenness."""
    pattern = pattern or str(rng.choice(["plain", "stripes", "checks", "dots", "knit", "print"]))
    main, other = colours[0], colours[-1]
    x, y = np.arange(w, dtype=np.float32)[None, :], np.arange(h, dtype=np.float32)[:, None]
    step = scale * rng.uniform(7, 20)
    if pattern == "stripes":
        share = np.clip(np.sin(x * np.float32(2 * np.pi / step)) * np.float32(step / 5) + 0.5, 0, 1) + 0 * y
    elif pattern == "checks":
        share = np.clip(np.sin(x * np.float32(2 * np.pi / step)) * 8 + 0.5, 0, 1) * np.float32(0.5)
        share = share + np.clip(np.sin(y * np.float32(2 * np.pi / step)) * 8 + 0.5, 0, 1) * np.float32(0.5)
    elif pattern == "dots":
        shifted = x + step / 2 * (np.floor(y / step) % 2)
        dx, dy = shifted % step - step / 2, y % step - step / 2
        share = np.clip(step * 0.28 - np.hypot(dx, dy), 0, 1)
    elif pattern == "print":
        share = np.clip(noise.spectral(rng, h, w, 2.2, coarse=2) * 7 + 0.5, 0, 1)
    else:
        share = np.zeros((h, w), np.float32)
    cloth = between(share.astype(np.float32), main, other)
    if pattern == "knit":
        phase = np.abs((x / (scale * 2.2)) % 1 - 0.5) * 2
        weave = np.sin((y / scale + phase) * np.float32(np.pi)) * np.float32(0.7) + np.float32(0.5) * (
            phase - 0.5
        )
    else:
        weave = np.sin(x * np.float32(np.pi / scale)) * np.sin(y * np.float32(np.pi / scale))
    half = (h // 2 + 1, w // 2 + 1)
    slubs = noise.streaks(rng, *half, scale * 5, scale / 2, 0.0)
    slubs += noise.streaks(rng, *half, scale * 5, scale / 2, np.pi / 2)
    slubs = cv2.resize(slubs, (w, h), interpolation=cv2.INTER_LINEAR)
    tone = 1 + weave * np.float32(0.1) + slubs * np.float32(0.035)
    return noise.warp(cloth * noise.triple(tone), rng, scale * 2.5, 4)


def gravel(
    rng: Rng, h: int, w: int, colours: tuple[np.ndarray, ...], scale: float, lamp: Light
) -> np.ndarray:
    """Pebbles, cobbles or scales, `scale` pixels apart."""
    labels, distance, count = noise.cells(rng, h, w, scale)
    blurred = cv2.GaussianBlur(distance, (0, 0), max(scale / 14, 0.8))
    height = np.sqrt(np.maximum(np.float32(scale * 0.75) ** 2 - blurred * blurred, 0))
    grit = noise.spectral(rng, h, w, 0.7)
    shade = relief(height + grit * np.float32(0.2), lamp, rng.uniform(0.6, 1.1))
    edge = np.clip(
        (np.float32(scale * rng.uniform(0.6, 0.75)) - distance) / np.float32(scale * 0.18), 0.15, 1
    )
    table = ramp(rng.uniform(0, 1, (1, count)).astype(np.float32), *colours)[0]
    table *= rng.normal(1, 0.12, (count, 1)).astype(np.float32)
    stones = table[labels] * (1 + grit * np.float32(0.06))[:, :, None]
    return stones * (shade * edge)[:, :, None]


def leaves(
    rng: Rng, h: int, w: int, colours: tuple[np.ndarray, ...], scale: float, lamp: Light
) -> np.ndarray:
    """A dense wall of small leaves about `scale` pixels long, darker deep inside."""
    most = 2400
    side = int(scale * np.sqrt(most / 6.0)) + 1
    if h * w > side * side * 1.2:
        # Such small leaves are too many to draw one by one; mirrored tiles have no seams.
        tile = leaves(rng, min(side, h), min(side, w), colours, scale, lamp)
        tile = np.vstack([np.hstack([tile, tile[:, ::-1]]), np.hstack([tile[::-1], tile[::-1, ::-1]])])
        repeats = (-(-h // tile.shape[0]), -(-w // tile.shape[1]), 1)
        wide = np.tile(tile, repeats)[:h, :w] * (1 + noise.smooth(rng, h, w, 4) * np.float32(0.2))[:, :, None]
        return noise.warp(wide, rng, scale * 0.5, 6)
    count = int(np.clip(6.0 * h * w / scale**2, 60, most))
    centres = rng.uniform([-scale, -scale], [w + scale, h + scale], (count, 2))
    angles = rng.normal(rng.uniform(0, 2 * np.pi), 0.9, count)
    sizes = scale * rng.uniform(0.35, 0.75, count)
    t = np.linspace(0, 1, 9)
    half = np.sin(np.pi * t) ** 0.9 * rng.uniform(0.14, 0.36)
    local = np.vstack([np.stack([t, half], -1), np.stack([t, -half], -1)[-2:0:-1]])
    cos, sin = np.cos(angles), np.sin(angles)
    px = (local[None, :, 0] - 0.5) * 2 * sizes[:, None]
    py = local[None, :, 1] * 2 * sizes[:, None]
    points = np.stack([px * cos[:, None] - py * sin[:, None], px * sin[:, None] + py * cos[:, None]], -1)
    points = np.round((points + centres[:, None]) * 16).astype(np.int32)
    order = np.linspace(0, 1, count)
    tones = (0.35 + 0.75 * order**1.3) * np.exp(rng.normal(0, 0.16, count))
    table = ramp(rng.uniform(0, 1, (1, count)).astype(np.float32), *colours)[0] * tones[:, None]
    drawn = np.empty((h, w, 3), np.uint8)
    drawn[:] = np.clip(colours[0] * 40, 0, 255).astype(np.uint8)
    rgb8 = np.clip(table * 255, 0, 255)
    for index in range(count):
        cv2.fillPoly(drawn, [points[index]], [float(v) for v in rgb8[index]], cv2.LINE_AA, 4)
    picture = drawn.astype(np.float32) * np.float32(1 / 255)
    mottle = noise.spectral(rng, h, w, 1.0) * np.float32(0.09) + noise.smooth(rng, h, w, 4) * np.float32(0.25)
    return picture * np.maximum(1 + mottle, 0.2)[:, :, None]


def dead_leaves(
    rng: Rng, h: int, w: int, palette: np.ndarray, smallest: float, shape: str = "disc"
) -> np.ndarray:
    """Overlapping opaque shapes whose sizes follow a cubic law: the occlusions of a natural scene.

    Args:
        rng: Source of randomness.
        h: Rows.
        w: Columns.
        palette: (K, 3) colours.
        smallest: Smallest radius in pixels.
        shape: 'disc', 'box' or 'mixed'.

    Returns:
        (h, w, 3) float32.
    """
    largest = min(h, w) * rng.uniform(0.25, 0.5)
    count = 1500
    quantile = rng.uniform(0, 1, count)
    radii = (smallest**-2 + quantile * (largest**-2 - smallest**-2)) ** -0.5
    radii[: count // 12] *= rng.uniform(2, 6)
    centres = rng.uniform([0, 0], [w, h], (count, 2))
    labels = np.zeros((h, w), np.int32)
    boxes = shape == "box" or (shape == "mixed" and rng.uniform() < 0.5)
    turns = rng.uniform(0, np.pi, count) if rng.uniform() < 0.6 else np.zeros(count)
    flat = rng.uniform(0.4, 1.0, count)
    for index in range(count):
        centre = (centres[index] * 16).astype(int)
        if boxes or (shape == "mixed" and index % 2):
            box = cv2.boxPoints(
                (centres[index], radii[index] * np.array([2, 2 * flat[index]]), np.degrees(turns[index]))
            )
            cv2.fillPoly(labels, [np.round(box * 16).astype(np.int32)], index + 1, cv2.LINE_8, 4)
        else:
            axes = (int(radii[index] * 16), int(radii[index] * flat[index] * 16))
            cv2.ellipse(
                labels,
                centre.tolist(),
                axes,
                float(np.degrees(turns[index])),
                0,
                360,
                index + 1,
                -1,
                cv2.LINE_8,
                4,
            )
    choice = palette[rng.integers(0, len(palette), count + 1)] * np.exp(rng.normal(0, 0.25, (count + 1, 1)))
    slopes = rng.normal(0, 0.35 / min(h, w), (2, count + 1)).astype(np.float32)
    x, y = np.arange(w, dtype=np.float32)[None, :], np.arange(h, dtype=np.float32)[:, None]
    gradient = 1 + slopes[0][labels] * (x - w / 2) + slopes[1][labels] * (y - h / 2)
    strength = np.abs(rng.normal(0, 0.09, count + 1)).astype(np.float32)[labels]
    gradient += noise.spectral(rng, h, w, rng.uniform(0.5, 1.1)) * strength
    return choice.astype(np.float32)[labels] * np.clip(gradient, 0.2, 1.8)[:, :, None]


def mirror(picture: np.ndarray, rows: int) -> np.ndarray:
    """The lower `rows` rows of a picture upside down, stretched where it has fewer: what a lake reflects."""
    flipped = np.ascontiguousarray(picture[-min(rows, len(picture)) :][::-1])
    if len(flipped) < rows:
        flipped = cv2.resize(flipped, (picture.shape[1], rows), interpolation=cv2.INTER_LINEAR)
    return flipped


def water(rng: Rng, h: int, w: int, picture: np.ndarray, ripple: float) -> np.ndarray:
    """A reflection: the picture (h, w, 3), given upside down, broken by waves that grow in front."""
    waves = noise.spectral(rng, h, w, 1.1, stretch=rng.uniform(5, 12))
    depth = np.linspace(0.12, 1, h, dtype=np.float32)[:, None]
    offset = waves * depth * np.float32(ripple)
    map_x = np.arange(w, dtype=np.float32)[None, :] + offset * np.float32(0.35)
    map_y = np.arange(h, dtype=np.float32)[:, None] + offset
    mirrored = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return mirrored * (1 + waves * depth * np.float32(rng.uniform(0.05, 0.14)))[:, :, None]


def page(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """A page of printed text with headings and columns; `scale` is the height of a line in pixels."""
    paper = 1 - rng.uniform(0, 0.12) * rgb(0.2, 0.5, 1.0)
    ink = rgb(0.08, 0.08, 0.1) + rng.uniform(0, 0.25) * hsv(rng.uniform(), 0.6, 1)
    if rng.uniform() < 0.12:
        paper, ink = ink, paper
    sheet = np.zeros((h, w), np.uint8)
    fonts = (
        cv2.FONT_HERSHEY_SIMPLEX,
        cv2.FONT_HERSHEY_COMPLEX,
        cv2.FONT_HERSHEY_TRIPLEX,
        cv2.FONT_HERSHEY_DUPLEX,
    )
    font = int(rng.choice(fonts))
    letters = "eeeeaaaoootttnnniiirrrsssllldddcccuuummmpppfffgghhbbvvyywwkjxqzEATSRNM.,;0123456789"
    columns = int(rng.integers(1, 3))
    margin = w * rng.uniform(0.04, 0.1)
    width = (w - margin * (columns + 1)) / columns
    for column in range(columns):
        left = margin + column * (width + margin)
        y = margin + scale
        while y < h + scale:
            heading = rng.uniform() < 0.07
            size = scale * (2.0 if heading else 1.0)
            right = left + width * (rng.uniform(0.3, 1) if heading or rng.uniform() < 0.15 else 1)
            average = size * 0.44
            count = max(int((right - left) / average), 1)
            line = "".join(letters[k] for k in rng.integers(0, len(letters), count))
            cuts = np.cumsum(rng.integers(2, 10, max(count // 4, 1)))
            text = "".join(" " if k in cuts else c for k, c in enumerate(line))
            weight = max(round(size / (9 if heading else 15)), 1)
            cv2.putText(sheet, text, (int(left), int(y)), font, size / 42, 255, weight, cv2.LINE_AA)
            if rng.uniform() < 0.06:
                y += scale * 1.2
            y += size * 1.45
    cover = sheet.astype(np.float32) * np.float32(1 / 255)
    fibre = (
        1 + noise.spectral(rng, h, w, 0.8) * np.float32(0.012) + noise.smooth(rng, h, w, 2) * np.float32(0.05)
    )
    return between(cover, paper, ink) * fibre[:, :, None]


def grass_blades(canvas: Canvas, rng: Rng, top: float, colours: tuple[np.ndarray, ...], size: float) -> None:
    """Draw grass in perspective over all below the line `top`; `size` is a near blade's length in pixels."""
    h, w = canvas.height, canvas.width
    bands, groups = 14, 5
    wind = rng.normal(0, 0.25)
    for band in range(bands):
        near_far = (band + 1) / bands
        length = size * (0.12 + 0.88 * near_far**1.6)
        y0 = top + (h * 1.06 - top) * near_far**1.5
        count = int(np.clip(w / length * 22, 80, 420))
        paths, tones, widths = [], [], []
        for _ in range(groups):
            x = rng.uniform(-length, w + length, count // groups + 1)
            y = y0 + rng.uniform(-0.5, 0.5, x.size) * (h - top) / bands * 1.6
            lean, tall = rng.normal(wind, 0.35, x.size), length * rng.uniform(0.5, 1.15, x.size)
            middle = np.stack([x + lean * tall * 0.35, y - tall * 0.6], -1)
            end = np.stack([x + lean * tall * 1.1, y - tall], -1)
            paths.append(np.stack([np.stack([x, y], -1), middle, end], 1))
            tone = ramp(np.array([[rng.uniform()]], np.float32), *colours)[0, 0]
            tones.append(tone * rng.uniform(0.55, 1.2))
            widths.append(max(round(length / 32 * rng.uniform(0.6, 1.5)), 1))
        _draw_band(canvas, paths, np.array(tones), widths, y0, length)


def _draw_band(
    canvas: Canvas,
    paths: list[np.ndarray],
    tones: np.ndarray,
    widths: list[int],
    y: float,
    length: float,
) -> None:
    """Draw one band of blades on a strip of the canvas, so that far bands cost little."""
    y0 = int(np.clip(y - length * 3, 0, canvas.height - 1))
    y1 = int(np.clip(y + length * 3, y0 + 1, canvas.height))
    strip = Canvas(canvas.image[y0:y1], canvas.light)
    strip.strokes([p - np.array([0.0, y0]) for p in paths], tones, widths)
