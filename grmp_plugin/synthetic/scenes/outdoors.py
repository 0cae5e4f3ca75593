"""Elements that several outdoor scenes share: skies, ground in perspective, trees, hills."""

import cv2
import numpy as np

from . import noise, shapes, textures
from .canvas import Canvas, relief
from .colour import between, hsv, mix, near, ramp, rgb
from .noise import Rng


def sky(canvas: Canvas, rng: Rng, bottom: float, style: str | None = None) -> np.ndarray:
    """Paint a sky from the top of the canvas to the row `bottom`.

    Args:
        canvas: Where to paint.
        rng: Source of randomness.
        bottom: The row of the horizon in canvas pixels.
        style: 'blue', 'sunset', 'overcast' or 'dawn'; random without.

    Returns:
        The colour (3,) of the haze at the horizon, for what stands in front of it.
    """
    h, w = int(np.clip(bottom, 8, canvas.height)), canvas.width
    style = style or str(rng.choice(["blue", "blue", "blue", "sunset", "overcast", "dawn"]))
    if style == "blue":
        top, horizon = near(rng, 0.59, 0.65, 0.68), near(rng, 0.56, 0.22, 0.92)
        cloud, under = rgb(1.0, 1.0, 1.0), near(rng, 0.6, 0.12, 0.72)
    elif style == "sunset":
        top, horizon = near(rng, 0.63, 0.45, 0.48), near(rng, 0.07, 0.65, 0.98)
        cloud, under = near(rng, 0.04, 0.45, 0.98), near(rng, 0.85, 0.28, 0.45)
    elif style == "dawn":
        top, horizon = near(rng, 0.6, 0.3, 0.72), near(rng, 0.1, 0.25, 0.97)
        cloud, under = near(rng, 0.05, 0.15, 1.0), near(rng, 0.68, 0.16, 0.65)
    else:
        top, horizon = near(rng, 0.6, 0.08, 0.66), near(rng, 0.58, 0.06, 0.88)
        cloud, under = rgb(0.95, 0.95, 0.96), near(rng, 0.6, 0.08, 0.55)
    down = np.linspace(0, 1, h, dtype=np.float32) ** np.float32(rng.uniform(0.8, 1.6))
    gradient = ramp_column(down, top, horizon)
    across = 1 + noise.smooth(rng, 1, w, 1)[:1] * np.float32(0.0)
    picture = gradient[:, None, :] * across[:, :, None]
    if style == "overcast" or rng.uniform() < 0.7:
        coverage = rng.uniform(0.3, 1.2) if style == "overcast" else rng.normal(-0.5, 0.7)
        field = noise.spectral(rng, h, w, rng.uniform(1.5, 2.0), stretch=rng.uniform(1.2, 3.5), coarse=2)
        density = np.clip((field + np.float32(coverage)) * np.float32(rng.uniform(0.5, 1.6)), 0, 1)
        shifted = np.roll(field, int(canvas.unit * 0.02), 0)
        lit = np.clip(0.55 + (field - shifted) * np.float32(1.1) + 0.3 * (1 - density), 0, 1)
        thin = density * np.float32(rng.uniform(0.6, 1.0))
        picture = textures.mix_masked(picture, between(lit, under, cloud), thin)
    canvas.image[:h] = picture
    if style in ("sunset", "dawn") and rng.uniform() < 0.6:
        x, y = rng.uniform(0.1, 0.9) * w, h * rng.uniform(0.55, 0.95)
        upper = Canvas(canvas.image[:h], canvas.light)
        upper.glow(x, y, canvas.unit * rng.uniform(0.4, 0.9), rgb(1.0, 0.75, 0.4), rng.uniform(0.4, 0.9))
        radius = canvas.unit * rng.uniform(0.015, 0.04)
        upper.fill(shapes.ellipse(x, y, radius, radius), rgb(1.3, 1.2, 0.95), soft=1.0)
    return horizon


def ramp_column(position: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mix two colours along (N,) positions in [0, 1], (N, 3) float32."""
    return (first + position[:, None] * (second - first)).astype(np.float32)


def ground(
    canvas: Canvas, horizon: float, texture: np.ndarray, zoom: float = 1.0, centre: float = 0.5
) -> None:
    """Cover all below the horizon row with a texture (h, w, 3) on a level plane in perspective.

    Args:
        canvas: Where to paint.
        horizon: Its row in canvas pixels; may lie above the canvas.
        texture: Repeated as needed.
        zoom: Texture pixels per canvas pixel at the lower edge.
        centre: The vanishing point's x, as a share of the width.
    """
    h, w = canvas.height, canvas.width
    top = int(np.clip(np.ceil(horizon + 1), 0, h - 1))
    rows = np.arange(top, h, dtype=np.float32)
    depth = np.float32(h - horizon) / (rows - np.float32(horizon) + 1e-3)
    map_x = (
        (np.arange(w, dtype=np.float32)[None, :] - np.float32(w * centre)) * depth[:, None] * np.float32(zoom)
    )
    map_y = np.repeat((depth * np.float32((h - horizon) * zoom))[:, None], w, 1)
    size = texture.shape[:2]
    # Mirrored repetition has no seams; far rows are read from smaller copies to avoid aliasing.
    map_x = (map_x + np.float32(size[1] / 2)) % np.float32(2 * size[1])
    map_y = map_y % np.float32(2 * size[0])
    map_x = np.minimum(map_x, np.float32(2 * size[1]) - map_x)
    map_y = np.minimum(map_y, np.float32(2 * size[0]) - map_y)
    footprint = depth * depth * np.float32(zoom)
    start = 0
    for level in range(5):
        limit = 2.2 * 2**level
        inside = np.flatnonzero(footprint < limit) if level < 4 else np.arange(len(rows))
        first = int(inside[0]) if inside.size else len(rows)
        last = len(rows) - start
        if first < last:
            factor = 0.5**level
            small = (max(int(size[1] * factor), 2), max(int(size[0] * factor), 2))
            copy = texture if level == 0 else cv2.resize(texture, small, interpolation=cv2.INTER_AREA)
            canvas.image[top + first : top + last] = cv2.remap(
                copy,
                map_x[first:last] * np.float32(factor),
                map_y[first:last] * np.float32(factor),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            )
            start = len(rows) - first


def hills(
    canvas: Canvas,
    rng: Rng,
    base: float,
    height: float,
    colour: np.ndarray,
    haze: np.ndarray,
    distance: float,
) -> None:
    """Paint one range of hills or mountains across the canvas.

    Args:
        canvas: Where to paint.
        rng: Source of randomness.
        base: The row of its foot.
        height: Height of the highest summit in pixels.
        colour: Colour (3,) of the ground.
        haze: Colour (3,) of the air.
        distance: 0 is near and clear, 1 is lost in haze.
    """
    w = canvas.width
    profile = noise.ridge(rng, w, rng.uniform(1.15, 1.8))
    crest = base - height * (0.25 + 0.75 * profile)
    y0, y1 = int(max(crest.min() - 2, 0)), int(np.clip(base + 2, 1, canvas.height))
    if y1 - y0 < 4:
        return
    points = np.vstack([np.stack([np.arange(w), crest], -1), [[w, y1 + 4], [0, y1 + 4]]])
    box = (0, y0, w, y1)
    terrain = noise.spectral(rng, y1 - y0, w, rng.uniform(1.3, 1.7), stretch=0.7)
    shade = relief(terrain * np.float32(4), canvas.light, rng.uniform(1.0, 2.2) * (1 - 0.6 * distance))
    second = near(rng, rng.uniform(0.05, 0.35), 0.35, 0.45)
    base_colour = between(noise.unit_range(terrain, 1.5), colour, mix(colour, second, 0.6))
    if height > canvas.unit * 0.22 and rng.uniform() < 0.6:
        rows = np.arange(y0, y1, dtype=np.float32)[:, None]
        line = base - height * rng.uniform(0.4, 0.7)
        snow = np.clip((np.float32(line) - rows + terrain * np.float32(height * 0.09)) / 5, 0, 1)
        base_colour = textures.mix_masked(base_colour, rgb(0.97, 0.98, 1.0) + 0 * base_colour, snow)
    picture = base_colour * canvas.light.tint(shade)
    rows = np.linspace(0, 0.25, y1 - y0, dtype=np.float32)[:, None]
    picture = textures.mix_masked(
        picture, haze + 0 * picture, np.clip(distance + rows * distance, 0, 1) + 0 * terrain
    )
    canvas.blend(canvas.mask(points, box), picture, box)


def foliage_colours(rng: Rng) -> tuple[np.ndarray, ...]:
    """Dark to light colours of leaves: mostly greens, now and then autumn or blossom."""
    hue = rng.uniform(0.19, 0.36) if rng.uniform() < 0.8 else rng.choice([0.03, 0.08, 0.12, 0.93])
    saturation = rng.uniform(0.35, 0.8)
    return (
        hsv(hue + 0.03, saturation, rng.uniform(0.12, 0.25)),
        hsv(hue, saturation, rng.uniform(0.35, 0.5)),
        hsv(hue - 0.04, saturation * 0.85, rng.uniform(0.6, 0.85)),
    )


def tree(
    canvas: Canvas,
    rng: Rng,
    x: float,
    base: float,
    height: float,
    greenery: np.ndarray,
    conifer: bool = False,
) -> None:
    """A tree of `height` pixels whose trunk stands at (x, base); greenery has the canvas' size."""
    trunk = near(rng, 0.07, 0.35, 0.3)
    sway = rng.normal(0, 0.04) * height
    path = np.array([[x, base], [x + sway * 0.4, base - height * 0.4], [x + sway, base - height * 0.8]])
    width = height * rng.uniform(0.04, 0.08)
    canvas.fill(shapes.tube(shapes.curve(path), np.linspace(width, width * 0.35, 24)), trunk, bulge=1.0)
    if conifer:
        tiers = int(rng.integers(5, 9))
        spread = height * rng.uniform(0.16, 0.24)
        edge_l, edge_r = [], []
        for k in range(tiers):
            y = base - height * (0.12 + 0.86 * k / tiers)
            half = spread * (1 - k / tiers) + 1
            jag = rng.uniform(0.8, 1.15, 2)
            edge_l += [[x - half * jag[0], y], [x - half * 0.55, y - height * 0.05]]
            edge_r += [[x + half * jag[1], y], [x + half * 0.55, y - height * 0.05]]
        outline = np.array([*edge_l, [x, base - height], *edge_r[::-1]])
        canvas.fill(outline, greenery * np.float32(0.75), bulge=0.8)
        return
    for k in range(int(rng.integers(3, 7))):
        radius = height * rng.uniform(0.16, 0.28)
        cx = x + sway + rng.normal(0, 0.15) * height
        cy = base - height * (0.62 + 0.25 * rng.uniform(-0.6, 1))
        outline = shapes.blob(rng, cx, cy, radius, radius * 0.85, 0.5, 90)
        outline += rng.normal(0, height * 0.008, outline.shape)
        canvas.fill(outline, greenery, bulge=0.8 if k else 0.6)


def blurred_backdrop(canvas: Canvas, rng: Rng) -> None:
    """Fill the canvas with a defocused garden, room or studio wall, for a sharp subject in front of it."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    style = rng.choice(["garden", "garden", "lights", "room", "studio", "gradient"])
    small = 3
    low = Canvas(np.full((h // small + 1, w // small + 1, 3), 0.5, np.float32), canvas.light)
    lh, lw = low.height, low.width
    if style == "garden":
        greens = foliage_colours(rng)
        low.image = textures.leaves(rng, lh, lw, greens, lh * rng.uniform(0.05, 0.25), canvas.light)
        for _ in range(int(rng.integers(0, 14))):
            colour = hsv(rng.uniform(), rng.uniform(0.1, 0.8), rng.uniform(0.6, 1.1))
            low.glow(rng.uniform(0, lw), rng.uniform(0, lh * 0.8), lh * rng.uniform(0.05, 0.2), colour, 1.0)
    elif style in ("room", "lights"):
        palette = np.stack([near(rng, rng.uniform(), 0.3, 0.5, 2) for _ in range(6)])
        low.image = textures.dead_leaves(rng, lh, lw, palette, lh * 0.04, "box")
        if style == "lights":
            low.image *= np.float32(0.4)
            for _ in range(int(rng.integers(8, 40))):
                r = lh * rng.uniform(0.004, 0.015)
                colour = hsv(rng.uniform(0, 0.18), rng.uniform(0.1, 0.7), 1) * np.float32(rng.uniform(2, 8))
                low.fill(shapes.ellipse(rng.uniform(0, lw), rng.uniform(0, lh), r, r), colour)
    else:
        colour = near(rng, rng.uniform(), 0.25, 0.55, 2)
        low.image = textures.plain(rng, lh, lw, colour, 0.03 if style == "studio" else 0.01)
        low.glow(
            rng.uniform(0.2, 0.8) * lw, rng.uniform(0.2, 0.8) * lh, max(lh, lw), colour, rng.uniform(0.2, 0.9)
        )
    low.defocus(u / small * rng.uniform(0.012, 0.06))
    low.image = cv2.resize(low.image, (w, h), interpolation=cv2.INTER_CUBIC)
    canvas.image = cv2.GaussianBlur(low.image, (0, 0), 2.0)
    canvas.image *= ramp(
        np.linspace(0, 1, h, dtype=np.float32)[:, None],
        rgb(1, 1, 1) * rng.uniform(0.8, 1.1),
        rgb(1, 1, 1) * rng.uniform(0.7, 1.1),
    )
