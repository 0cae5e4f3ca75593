"""Random fields: the raw material of every texture, sky and terrain that the scenes draw."""

import cv2
import numpy as np
import scipy.fft

Rng = np.random.Generator


def white(rng: Rng, height: int, width: int) -> np.ndarray:
    """Independent standard normal values, (height, width) float32."""
    return rng.standard_normal((height, width), dtype=np.float32)


def standardize(field: np.ndarray) -> np.ndarray:
    """Shift and scale a field to mean 0 and standard deviation 1; same shape, float32."""
    mean, deviation = cv2.meanStdDev(np.ascontiguousarray(field, np.float32))
    return (field - np.float32(mean[0, 0])) * np.float32(1.0 / max(float(deviation[0, 0]), 1e-6))


def unit_range(field: np.ndarray, spread: float = 2.2) -> np.ndarray:
    """Map a standardized field to [0, 1]; `spread` standard deviations reach the ends."""
    return np.clip(field * np.float32(0.5 / spread) + np.float32(0.5), 0.0, 1.0)


def triple(field: np.ndarray) -> np.ndarray:
    """Repeat a (H, W) field in three channels, (H, W, 3) float32; faster to multiply by than to broadcast."""
    field = np.ascontiguousarray(field, np.float32)
    return np.asarray(cv2.merge([field, field, field]), np.float32)


def spectral(
    rng: Rng, height: int, width: int, slope: float = 1.0, stretch: float = 1.0, coarse: int = 1
) -> np.ndarray:
    """Gaussian field whose amplitude spectrum falls as frequency to the power -slope.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        slope: 1 looks like a photograph's average texture, 2 like clouds.
        stretch: Above 1, structures are that much wider than tall.
        coarse: Compute at 1/coarse of the size and enlarge; for fields without fine detail.

    Returns:
        (height, width) float32, mean 0, standard deviation 1.
    """
    h, w = max(height // coarse, 8), max(width // coarse, 8)
    fh, fw = scipy.fft.next_fast_len(h, real=True), scipy.fft.next_fast_len(w, real=True)
    fy = scipy.fft.fftfreq(fh).astype(np.float32)[:, None] / np.float32(stretch)
    fx = scipy.fft.rfftfreq(fw).astype(np.float32)[None, :]
    power = fy * fy + fx * fx
    power[0, 0] = 1.0
    amplitude = np.power(power, np.float32(-slope / 2))
    amplitude[0, 0] = 0.0
    spectrum = rng.standard_normal((fh, fw // 2 + 1, 2), dtype=np.float32)
    spectrum *= amplitude[:, :, None]
    field = scipy.fft.irfft2(spectrum.view(np.complex64)[:, :, 0], s=(fh, fw), workers=1)[:h, :w]
    field = standardize(field.astype(np.float32, copy=False))
    if (h, w) != (height, width):
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    return field


def smooth(rng: Rng, height: int, width: int, cells: float = 3.0) -> np.ndarray:
    """Slowly varying field, (height, width) float32 about [-1, 1], `cells` bumps along the short side."""
    step = max(min(height, width) / max(cells, 1.0), 1.0)
    grid = (int(height / step) + 3, int(width / step) + 3)
    coarse = rng.uniform(-1.0, 1.0, grid).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def warp(field: np.ndarray, rng: Rng, amount: float, cells: float = 4.0) -> np.ndarray:
    """Bend a (H, W) or (H, W, C) field along a smooth random displacement of up to `amount` pixels."""
    height, width = field.shape[:2]
    dx, dy = smooth(rng, height, width, cells), smooth(rng, height, width, cells)
    dx *= np.float32(amount)
    dy *= np.float32(amount)
    dx += np.arange(width, dtype=np.float32)[None, :]
    dy += np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(field, dx, dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def streaks(
    rng: Rng, height: int, width: int, length: float, thickness: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """Short parallel fibres: hair, wood grain, brushed surfaces.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        length: Length of a fibre in pixels.
        thickness: Its thickness in pixels.
        angle: Direction in radians, 0 = horizontal.

    Returns:
        (height, width) float32, mean 0, standard deviation 1.
    """
    size = max(int(np.ceil(length)), 3) | 1
    kernel = np.zeros((size, size), np.uint8)
    half = size / 2
    dx, dy = half * np.cos(angle), half * np.sin(angle)
    ends = [(round((half + k * dx) * 8), round((half + k * dy) * 8)) for k in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 3)
    weights = kernel.astype(np.float32)
    field = white(rng, height, width)
    if thickness > 1.0:
        field = cv2.GaussianBlur(field, (0, 0), thickness / 2)
    horizontal, vertical = abs(np.sin(angle)) < 0.05, abs(np.cos(angle)) < 0.05
    if horizontal or vertical:
        shape = (size, 1) if horizontal else (1, size)
        return standardize(cv2.blur(cv2.blur(field, shape), shape))
    return standardize(cv2.filter2D(field, -1, weights / max(weights.sum(), 1.0)))


def cells(
    rng: Rng, height: int, width: int, spacing: float, jitter: float = 1.0
) -> tuple[np.ndarray, np.ndarray, int]:
    """Voronoi cells around jittered grid points: pebbles, cobbles, scales, cracked earth.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        spacing: Mean distance of the cells' centres in pixels.
        jitter: 0 keeps the grid, 1 moves each centre freely within its square.

    Returns:
        Labels (H, W) int32 in [0, count), distance to the cell's centre in pixels (H, W) float32, count.
    """
    spacing = max(spacing, 3.0)
    ys, xs = np.mgrid[0 : height + spacing : spacing, 0 : width + spacing : spacing]
    offsets = rng.uniform(-0.5, 0.5, (2, *ys.shape)) * spacing * jitter
    rows = np.clip(ys + offsets[0], 0, height - 1).astype(int)
    columns = np.clip(xs + offsets[1], 0, width - 1).astype(int)
    seeds = np.full((height, width), 255, np.uint8)
    seeds[rows, columns] = 0
    distance, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return labels - 1, distance, int((seeds == 0).sum())


def ridge(rng: Rng, length: int, slope: float = 1.3) -> np.ndarray:
    """One-dimensional fractal profile, (length,) float32 in [0, 1]: a skyline of hills."""
    count = max(length, 16)
    frequency = np.arange(count // 2 + 1, dtype=np.float32)
    frequency[0] = 1.0
    spectrum = rng.standard_normal((count // 2 + 1, 2)).astype(np.float32)
    spectrum *= np.power(frequency, -slope)[:, None]
    spectrum[0] = 0.0
    profile = np.fft.irfft(spectrum[:, 0] + 1j * spectrum[:, 1], n=count)[:length]
    low, high = float(profile.min()), float(profile.max())
    return ((profile - low) / max(high - low, 1e-6)).astype(np.float32)
