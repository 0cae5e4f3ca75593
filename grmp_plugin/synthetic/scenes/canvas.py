"""The canvas: antialiased shapes, soft shadows, glows, defocus and simple lighting.

Scenes are drawn at twice the final size and averaged down, so a shape's edge is about one pixel wide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .noise import Rng, triple

Paint = np.ndarray | Callable[[int, int], np.ndarray]
Box = tuple[int, int, int, int]

SUPERSAMPLING = 2
_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


@dataclass(frozen=True)
class Light:
    """One distant lamp and the ambient light around it.

    Attributes:
        direction: Unit vector towards the lamp: x to the right, y down, z to the viewer.
        ambient: Share of the light that has no direction, in [0, 1].
        warmth: Above 0 the lit side is warmer than the shadow, below 0 cooler.
    """

    direction: np.ndarray
    ambient: float
    warmth: float

    @classmethod
    def random(cls, rng: Rng) -> "Light":
        """Draw a random lamp: from above, left or right, sometimes low, sometimes almost frontal."""
        vector = np.array([rng.normal(0, 0.8), -rng.uniform(0.3, 1.1), rng.uniform(0.35, 1.1)])
        return cls(
            vector / np.linalg.norm(vector), float(rng.uniform(0.25, 0.6)), float(rng.normal(0.04, 0.05))
        )

    def shade(self, normal_x: np.ndarray, normal_y: np.ndarray, normal_z: np.ndarray) -> np.ndarray:
        """Brightness factor (H, W) of a matt surface with these unit normals; about 1 facing the lamp."""
        lx, ly, lz = (np.float32(v) for v in self.direction)
        diffuse = np.maximum(normal_x * lx + normal_y * ly + normal_z * lz, 0)
        return np.float32(self.ambient) + np.float32(1.12 - self.ambient) * diffuse

    def tint(self, shade: np.ndarray) -> np.ndarray:
        """Turn a brightness factor (H, W) into one per channel (H, W, 3), warmer where lit."""
        tilt = (np.clip(shade, 0, 1) * np.float32(2) - np.float32(1)) * np.float32(self.warmth)
        return np.asarray(cv2.merge([shade * (1 + tilt), shade, shade * (1 - tilt)]), np.float32)


def relief(height_map: np.ndarray, light: Light, depth: float) -> np.ndarray:
    """Shade a height map as a matt surface.

    Args:
        height_map: (H, W) float32, heights in pixels times any factor.
        light: The lamp.
        depth: Factor on the heights; larger is rougher.

    Returns:
        (H, W) float32 brightness factor, about 1 on flat ground facing the viewer.
    """
    slope_x = cv2.Sobel(height_map, cv2.CV_32F, 1, 0, ksize=3, scale=-depth / 8)
    slope_y = cv2.Sobel(height_map, cv2.CV_32F, 0, 1, ksize=3, scale=-depth / 8)
    normal_z = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    shade = light.shade(slope_x * normal_z, slope_y * normal_z, normal_z)
    flat = light.ambient + (1.12 - light.ambient) * max(float(light.direction[2]), 0.0)
    return shade * np.float32(1.0 / max(flat, 0.3))


@dataclass
class Canvas:
    """A picture under construction.

    Attributes:
        image: (H, W, 3) float32, display-encoded RGB; values above 1 are highlights.
        light: The scene's lamp, shared by everything drawn.
    """

    image: np.ndarray
    light: Light
    _full: Box = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._full = (0, 0, self.image.shape[1], self.image.shape[0])

    @classmethod
    def blank(cls, height: int, width: int, light: Light) -> "Canvas":
        """A mid-grey canvas for a picture of height x width final pixels."""
        shape = (height * SUPERSAMPLING, width * SUPERSAMPLING, 3)
        return cls(np.full(shape, 0.5, np.float32), light)

    @property
    def height(self) -> int:
        """Rows of the canvas (not of the final picture)."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns of the canvas."""
        return int(self.image.shape[1])

    @property
    def unit(self) -> float:
        """The short side in canvas pixels; all sizes are relative to it."""
        return float(min(self.image.shape[:2]))

    def box(self, points: np.ndarray, margin: float = 2.0) -> Box:
        """The rectangle (x0, y0, x1, y1) around points (N, 2), cut to the canvas; may be empty."""
        low, high = points.min(0) - margin, points.max(0) + margin
        x0, y0 = int(np.clip(np.floor(low[0]), 0, self.width)), int(np.clip(np.floor(low[1]), 0, self.height))
        x1, y1 = int(min(np.ceil(high[0]), self.width)), int(min(np.ceil(high[1]), self.height))
        return x0, y0, max(x1, x0), max(y1, y0)

    def mask(self, points: np.ndarray, box: Box | None = None) -> np.ndarray:
        """Coverage of a polygon (N, 2) within a box, (h, w) uint8 0..255, antialiased."""
        x0, y0, x1, y1 = box or self._full
        coverage = np.zeros((y1 - y0, x1 - x0), np.uint8)
        moved = (np.asarray(points, np.float64) - (x0, y0)) * (1 << _SHIFT)
        cv2.fillPoly(coverage, [np.round(moved).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
        return coverage

    def fill(
        self,
        points: np.ndarray,
        paint: Paint,
        *,
        bulge: float = 0.0,
        alpha: float = 1.0,
        soft: float = 0.0,
        texture: np.ndarray | None = None,
    ) -> None:
        """Paint a polygon.

        Args:
            points: (N, 2) corners in canvas pixels.
            paint: A colour (3,), a picture of the canvas' size, or a function (h, w) -> (h, w, 3).
            bulge: 0 is flat; 1 shades the shape as if blown up to a round body.
            alpha: Opacity.
            soft: Blur of the outline in pixels.
            texture: (H, W) factor on brightness, of the canvas' size.
        """
        x0, y0, x1, y1 = box = self.box(points, 2.0 + 3.0 * soft)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        coverage = self.mask(points, box)
        shade = self.round_shade(coverage, bulge) if bulge > 0 else None
        if soft > 0:
            coverage = cv2.GaussianBlur(coverage, (0, 0), soft)
        if callable(paint):
            colour = paint(y1 - y0, x1 - x0)
        elif paint.ndim == 1:
            colour = paint
        else:
            colour = paint[y0:y1, x0:x1]
        if shade is not None:
            colour = colour * self.light.tint(shade)
        if texture is not None:
            colour = colour * texture[y0:y1, x0:x1, None]
        self.blend(coverage, colour, box, alpha)

    def blend(
        self, coverage: np.ndarray, colour: np.ndarray, box: Box | None = None, alpha: float = 1.0
    ) -> None:
        """Lay a colour (3,) or picture (h, w, 3) over the box with an (h, w) coverage, uint8 or [0, 1]."""
        x0, y0, x1, y1 = box or self._full
        scale = alpha / 255 if coverage.dtype == np.uint8 else alpha
        weight = triple(coverage * np.float32(scale))
        part = self.image[y0:y1, x0:x1]
        part += (colour - part) * weight

    def round_shade(self, coverage: np.ndarray, bulge: float) -> np.ndarray:
        """Brightness factor of a flat shape blown up into a round body, (h, w) float32."""
        height, width = coverage.shape
        # The form is smooth, so a small version suffices; it also rounds the crease along the medial axis.
        factor = min(1.0, 96.0 / max(height, width))
        small = cv2.resize(
            coverage,
            (max(int(width * factor), 4), max(int(height * factor), 4)),
            interpolation=cv2.INTER_AREA,
        )
        small = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        inside = cv2.distanceTransform((small > 100).astype(np.uint8), cv2.DIST_L2, 5)
        radius = max(float(inside.max()), 1.0)
        form = np.sqrt(np.maximum(radius**2 - (radius - inside) ** 2, 0))
        form = cv2.GaussianBlur(form, (0, 0), max(radius * 0.14, 0.8))
        shade = relief(form, self.light, bulge)[1:-1, 1:-1]
        return np.maximum(cv2.resize(shade, (width, height), interpolation=cv2.INTER_CUBIC), 0.05)

    def shadow(
        self,
        points: np.ndarray,
        softness: float,
        strength: float = 0.5,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Darken the canvas under a polygon moved by `shift`; softness is the blur in pixels."""
        moved = np.asarray(points, np.float64) + shift
        x0, y0, x1, y1 = box = self.box(moved, 3 * softness + 2)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        factor = min(1.0, 3.0 / max(softness, 0.1))
        size = (max(int((x1 - x0) * factor), 2), max(int((y1 - y0) * factor), 2))
        coverage = cv2.resize(self.mask(moved, box), size, interpolation=cv2.INTER_AREA)
        coverage = cv2.GaussianBlur(coverage.astype(np.float32), (0, 0), max(softness * factor, 0.5))
        coverage = cv2.resize(coverage, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        self.image[y0:y1, x0:x1] *= (1 - coverage * np.float32(strength / 255))[:, :, None]

    def glow(self, x: float, y: float, radius: float, colour: np.ndarray, strength: float = 1.0) -> None:
        """Add a halo around a lamp: bright in the middle, fading to nothing at `radius` pixels."""
        x0, y0, x1, y1 = self.box(np.array([[x - radius, y - radius], [x + radius, y + radius]]))
        if x1 - x0 < 1 or y1 - y0 < 1:
            return
        dx = (np.arange(x0, x1, dtype=np.float32) - x) / radius
        dy = (np.arange(y0, y1, dtype=np.float32) - y) / radius
        distance = dx[None, :] ** 2 + dy[:, None] ** 2
        fall = np.maximum(1 - distance, 0) ** 2 / (1 + 60 * distance)
        self.image[y0:y1, x0:x1] += fall[:, :, None] * (colour * np.float32(strength))

    def ball(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        paint: Paint,
        *,
        angle: float = 0.0,
        gloss: float = 0.0,
        power: float = 40.0,
    ) -> None:
        """Paint a shaded ellipsoid.

        Args:
            centre: Its x and y in canvas pixels.
            radii: Half axes in pixels.
            paint: Colour (3,), picture of the canvas' size, or function (h, w) -> (h, w, 3).
            angle: Rotation in radians.
            gloss: Strength of the highlight.
            power: Sharpness of the highlight.
        """
        (cx, cy), (rx, ry) = centre, radii
        reach = max(rx, ry) + 2
        x0, y0, x1, y1 = box = self.box(np.array([[cx - reach, cy - reach], [cx + reach, cy + reach]]))
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        dx = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(cx)
        dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(cy)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u, v = (dx * cos + dy * sin) / np.float32(rx), (dy * cos - dx * sin) / np.float32(ry)
        squared = u * u + v * v
        coverage = np.clip((1 - np.sqrt(squared)) * np.float32(min(rx, ry)) + 0.5, 0, 1)
        nz = np.sqrt(np.maximum(1 - squared, 0))
        nx, ny = u * cos - v * sin, u * sin + v * cos
        shade = self.light.shade(nx, ny, nz)
        # Light bounced from below keeps the dark side alive.
        shade += np.maximum(ny, 0) * np.float32(0.08)
        if callable(paint):
            colour = paint(y1 - y0, x1 - x0)
        else:
            colour = paint if paint.ndim == 1 else paint[y0:y1, x0:x1]
        colour = colour * self.light.tint(shade)
        if gloss > 0:
            half = self.light.direction + np.array([0, 0, 1.0])
            half = (half / np.linalg.norm(half)).astype(np.float32)
            facing = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1)
            colour = colour + (np.float32(gloss) * np.power(facing, np.float32(power)))[:, :, None]
        self.blend(coverage, colour, box)

    def strokes(
        self, paths: Sequence[np.ndarray], colours: np.ndarray, thickness: Sequence[int] | int = 1
    ) -> None:
        """Draw many antialiased polylines, in order.

        Args:
            paths: Arrays (N, K, 2) of N polylines with K points, one array for each colour.
            colours: (len(paths), 3).
            thickness: In canvas pixels, one for all or one for each array.
        """
        margin = 2.0 + (thickness if isinstance(thickness, int) else max(thickness))
        x0, y0, x1, y1 = self.box(np.concatenate([np.reshape(group, (-1, 2)) for group in paths]), margin)
        if x1 - x0 < 1 or y1 - y0 < 1:
            return
        part = self.image[y0:y1, x0:x1]
        before = np.ascontiguousarray(np.clip(part * 255 + 0.5, 0, 255).astype(np.uint8))
        drawn = before.copy()
        for index, group in enumerate(paths):
            width = thickness if isinstance(thickness, int) else thickness[index]
            colour = [float(v) for v in np.clip(colours[index], 0, 1) * 255]
            lines = np.round((np.asarray(group) - (x0, y0)) * (1 << _SHIFT)).astype(np.int32)
            cv2.polylines(drawn, list(lines), False, colour, max(int(width), 1), cv2.LINE_AA, _SHIFT)
        # Only changed pixels are copied back: 8 bits would coarsen the smooth surroundings.
        differs = drawn != before
        changed = differs[:, :, 0] | differs[:, :, 1] | differs[:, :, 2]
        part[changed] = drawn[changed].astype(np.float32) * np.float32(1 / 255)

    def defocus(self, radius: float) -> None:
        """Blur everything drawn so far like a lens with a round aperture; radius in canvas pixels."""
        self.image = defocused(self.image, radius)

    def warp_onto(self, corners: np.ndarray, picture: np.ndarray, alpha: float = 1.0) -> None:
        """Paint a picture (h, w, 3) in perspective onto a quadrilateral (4, 2).

        The corners go clockwise from the picture's top left. The picture is shrunk first where it
        would be sampled too sparsely, which would alias.
        """
        x0, y0, x1, y1 = box = self.box(corners)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        sides = np.linalg.norm(corners - np.roll(corners, -1, 0), axis=1)
        height, width = picture.shape[:2]
        target = (
            int(np.clip(max(sides[0], sides[2]), 4, width)),
            int(np.clip(max(sides[1], sides[3]), 4, height)),
        )
        if target != (width, height):
            picture = cv2.resize(picture, target, interpolation=cv2.INTER_AREA)
            height, width = picture.shape[:2]
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (corners - (x0, y0)).astype(np.float32))
        warped = cv2.warpPerspective(
            picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        self.blend(self.mask(corners, box), warped, box, alpha)


def defocused(picture: np.ndarray, radius: float) -> np.ndarray:
    """Blur a picture (H, W, 3) with a disc of `radius` pixels; the same shape."""
    if radius < 1:
        return picture
    height, width = picture.shape[:2]
    factor = min(1.0, 4.0 / radius)
    size = (max(int(width * factor), 2), max(int(height * factor), 2))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if factor < 1 else picture
    reach = max(radius * factor, 0.5)
    side = 2 * int(np.ceil(reach)) + 1
    axis = np.arange(side, dtype=np.float32) - side // 2
    kernel = np.clip(reach + 0.5 - np.hypot(axis[None, :], axis[:, None]), 0, 1)
    small = cv2.filter2D(small, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    if factor < 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        small = cv2.GaussianBlur(small, (0, 0), max(0.5 / factor, 0.5))
    return small
