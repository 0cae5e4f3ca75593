"""Outlines: functions that return polygons, (N, 2) float64, in canvas pixels."""

import numpy as np

from .noise import Rng


def ellipse(
    x: float, y: float, rx: float, ry: float, angle: float = 0.0, start: float = 0.0, end: float = 1.0
) -> np.ndarray:
    """An ellipse, or the part of it from `start` to `end` turns (clockwise from its own x axis)."""
    turn = np.linspace(start, end, 48) * 2 * np.pi
    u, v = rx * np.cos(turn), ry * np.sin(turn)
    return np.stack(
        [x + u * np.cos(angle) - v * np.sin(angle), y + u * np.sin(angle) + v * np.cos(angle)], -1
    )


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """An upright rectangle, clockwise from the top left."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def blob(
    rng: Rng, x: float, y: float, rx: float, ry: float, rough: float = 0.15, points: int = 72
) -> np.ndarray:
    """A closed wavy outline around an ellipse; `rough` is the waves' relative height."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = np.ones(points)
    for order in range(2, 9):
        radius += rough * rng.normal() / order * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
    return np.stack([x + rx * radius * np.cos(turn), y + ry * radius * np.sin(turn)], -1)


def curve(points: np.ndarray, count: int = 24) -> np.ndarray:
    """A smooth open curve through (K, 2) control points (Catmull-Rom), (count, 2)."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    position = np.linspace(0, len(points) - 1 - 1e-6, count)
    index = position.astype(int)
    t = (position - index)[:, None]
    p0, p1, p2, p3 = (padded[index + k] for k in range(4))
    return 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )


def closed(points: np.ndarray, count: int = 72) -> np.ndarray:
    """A smooth closed outline through (K, 2) control points, (count, 2)."""
    looped = np.vstack([points[-2:], points, points[:3]])
    full = curve(looped, (len(looped) - 1) * 12 + 1)
    part = full[2 * 12 : (2 + len(points)) * 12]
    return part[np.linspace(0, len(part) - 1, min(count, len(part))).astype(int)]


def tube(path: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The outline of a thick line along a path (K, 2) with full widths (K,)."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    normal = np.stack([-along[:, 1], along[:, 0]], -1) * (np.asarray(widths) / 2)[:, None]
    return np.vstack([path + normal, (path - normal)[::-1]])


def leaf(
    base: np.ndarray, tip: np.ndarray, width: float, bend: float = 0.0, point: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """A leaf or petal.

    Args:
        base: (2,) where it is attached.
        tip: (2,) its other end.
        width: Full width relative to its length.
        bend: Sideways bend relative to its length.
        point: 1 is symmetric; larger is broadest near the tip, smaller near the base.

    Returns:
        The outline (N, 2) and the midrib (24, 2).
    """
    axis = tip - base
    side = np.array([-axis[1], axis[0]])
    t = np.linspace(0, 1, 24)
    spine = base + t[:, None] * axis + (np.sin(np.pi * t) * bend)[:, None] * side
    half = np.sin(np.pi * t**point) ** 0.9 * width / 2
    outline = np.vstack([spine + half[:, None] * side, (spine - half[:, None] * side)[::-1]])
    return outline, spine
