"""Statistics of a view that quality shows in, for the stem of a small backbone.

A network of a few million parameters that sees some hundred thousand views does not find these by itself.
All are differentiable almost everywhere and finite for every view, and say what is in a view rather than
where. After natural scene statistics (BRISQUE, doi:10.1109/TIP.2012.2214050), power spectra
(DOI:10.1364/JOSAA.4.002379), blocking artefacts as periods of the gradient (doi:10.1109/ICIP.2000.899622)
and the structure tensor.
"""

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STATISTICS = 528
"""How many there are."""

_GREY_LEVEL = 1 / 255
_TOGETHER = 16  # views
_SCALES = 3
_FINE_QUANTILES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FLAT_PIXELS = (1.0, 3.0, 8.0, 20.0)  # grey levels between neighbours
_FLAT_BLOCKS = (0.5, 2.0, 6.0, 20.0)  # grey levels, mean over a block
_BLOCK = 4  # pixels
_PERIODS = 56  # frequencies of the gradient's profile, up to half a cycle a pixel
_RINGS = (
    0,
    0.02,
    0.035,
    0.055,
    0.08,
    0.11,
    0.145,
    0.18,
    0.22,
    0.26,
    0.3,
    0.34,
    0.38,
    0.42,
    0.46,
    0.5,
    0.6,
    0.72,
)
_REACH = 12  # pixels by which channels are looked for beside each other
_DISTANCES = ((0.5, 1.2), (1.2, 2.3), (2.3, 4.5), (4.5, 8.0), (8.0, 13.0))

# Plain numbers: a tensor made while this module is imported could be one of inference mode.
_FROM_RGB = (
    (0.299, 0.587, 0.114),
    (-0.564 * 0.299, -0.564 * 0.587, 0.564 * (1 - 0.114)),
    (0.713 * (1 - 0.299), -0.713 * 0.587, -0.713 * 0.114),
)
_TO_RGB = tuple(map(tuple, np.linalg.inv(_FROM_RGB).tolist()))


def view_statistics(view: Tensor) -> Tensor:
    """Statistics of each view.

    Args:
        view: (B, 3, S, S), float32 or float64 RGB in [0, 1]; S a multiple of 16.

    Returns:
        (B, `STATISTICS`), neither standardised nor bounded.
    """
    # Few at a time, so that what is in the works stays in a processor's cache.
    return torch.cat([_statistics(part) for part in view.split(_TOGETHER)])


def _statistics(view: Tensor) -> Tensor:
    planes = _luma_and_chroma(view)
    features = [
        *_tone(view, planes),
        *_flatness(planes),
        *_periods(planes[:, 0]),
        *_spectrum(planes),
    ]
    bands: list[Tensor] = []
    level = planes
    for scale in range(_SCALES):
        smooth = _filter(level, _gaussian(level.shape[-1]))
        band = level - smooth
        if not bands:
            features += _alignment(band)
        bands.append(band[:, 0])
        features += _contrast(band)
        features += _orientation(level[:, 0])
        level = _filter(smooth, _boxes(smooth.shape[-1], 2, 2)) if scale < _SCALES - 1 else level
    features += _sharpness(bands)
    return torch.cat([x.flatten(1) for x in features], dim=1)


def _tone(view: Tensor, planes: Tensor) -> Iterable[Tensor]:
    """Distributions of luma, colours and chroma, casts of bright and dark parts, clipping, haze."""
    small = _filter(torch.cat([view, planes], 1), _boxes(view.shape[-1], _BLOCK, _BLOCK))
    luma, chroma = small[:, 3:4], small[:, 4:]
    radius = (chroma.square().sum(1, keepdim=True) + 1e-6).sqrt()
    saturation = radius / (luma + 0.1)
    yield _quantiles(torch.cat([small, radius, saturation], 1), _FINE_QUANTILES)
    for weight in (luma.pow(4), (1 - luma).pow(4)):
        yield (chroma * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1e-3)
    yield view.amax((2, 3))
    yield view.amin((2, 3))
    yield (view - 0.98).relu().mean((2, 3)) / 0.02
    yield (0.02 - view).relu().mean((2, 3)) / 0.02
    yield _quantiles(-F.max_pool2d(-view.amin(1, keepdim=True), 8), _QUANTILES)
    yield _quantiles(F.max_pool2d(view.amax(1, keepdim=True), 8), _QUANTILES)


def _flatness(planes: Tensor) -> Iterable[Tensor]:
    """How much of the view changes by no more than some grey levels, from pixel to pixel and in blocks."""
    side = planes.shape[-1]
    across = (planes[..., 1:] - planes[..., :-1]).abs() / _GREY_LEVEL
    down = (planes[..., 1:, :] - planes[..., :-1, :]).abs() / _GREY_LEVEL
    for change in (across, down):
        for limit in _FLAT_PIXELS:
            yield _log(1 - change.clamp(max=limit).mean((2, 3)) / limit, 1e-3)
    rows, columns = _boxes(side, _BLOCK, _BLOCK), _boxes(side - 1, _BLOCK, _BLOCK)
    blocks = _filter(across, rows[: len(columns)], columns) + _filter(down, columns, rows[: len(columns)])
    for limit in _FLAT_BLOCKS:
        yield _log((1 - blocks / limit).clamp(min=0).mean((2, 3)), 1e-3)


def _periods(luma: Tensor) -> Iterable[Tensor]:
    """Power of regular steps by their frequency, across and down: block borders, big pixels."""
    side = luma.shape[-1]
    across = (luma[..., 1:] - luma[..., :-1]).abs().clamp(max=24 * _GREY_LEVEL).mean(1)
    down = (luma[:, 1:] - luma[:, :-1]).abs().clamp(max=24 * _GREY_LEVEL).mean(2)
    for profile in (across, down):
        even = profile - profile.mean(-1, keepdim=True)
        power = (even @ _waves(side - 1).to(even)).unflatten(-1, (2, -1)).square().sum(1)
        yield _log(power / (profile.sum(-1, keepdim=True).square() + 1e-7), 1e-6)


def _spectrum(planes: Tensor) -> Iterable[Tensor]:
    """Logarithm of the mean power in rings of spatial frequency."""
    side = planes.shape[-1]
    windowed = (planes - planes.mean((2, 3), keepdim=True)) * _window(side).to(planes)
    transformed = torch.fft.rfft2(windowed)
    power = transformed.real.square() + transformed.imag.square()
    yield _log(power.flatten(2) @ _rings(side).to(power), 1e-5)


def _alignment(band: Tensor) -> Iterable[Tensor]:
    """How well the details of the colour channels lie on each other, and where else they would.

    Args:
        band: (B, 3, S, S), finest detail of luma and chroma.
    """
    side = band.shape[-1]
    channels = _mix(band, _TO_RGB)
    details = channels * _window(side).to(band)
    transformed = torch.fft.rfft2(details)
    energy = details.square().sum((2, 3))
    places = torch.arange(-_REACH, _REACH + 1, device=band.device) % side
    for a, b in ((0, 1), (0, 2)):
        product = torch.fft.irfft2(transformed[:, a] * transformed[:, b].conj(), s=(side, side))
        product = (
            product[:, places][:, :, places] / (energy[:, a] * energy[:, b] + 1e-6).sqrt()[:, None, None]
        )
        yield product[:, _REACH, _REACH, None]
        for ring in _neighbours():
            values = product.flatten(1)[:, ring.to(band.device)]
            yield torch.stack([values.amax(1), values.amin(1)], 1)
        yield (product - product.flip(1, 2)).abs().amax((1, 2))[:, None]


def _contrast(band: Tensor) -> Iterable[Tensor]:
    """Local deviations, the shape of what is left when they are divided out, and how planes go together.

    Args:
        band: (B, 3, s, s), detail of luma and chroma at one scale.
    """
    variance = _filter(band.square(), _gaussian(band.shape[-1]))
    deviation = (variance + 1e-8).sqrt()
    logarithm = _log(deviation, _GREY_LEVEL / 4)
    stride = max(1, band.shape[-1] // 14)
    yield _quantiles(logarithm[..., ::stride, ::stride], _QUANTILES)
    mean = logarithm.mean((2, 3), keepdim=True)
    yield mean
    covariances = _products(logarithm - mean)
    spread = (covariances.diagonal(dim1=1, dim2=2) + 1e-4).sqrt()
    yield spread
    yield _correlations(covariances, spread)
    covariances = _products(band)
    yield _correlations(covariances, (covariances.diagonal(dim1=1, dim2=2) + 1e-7).sqrt())
    normal = band / (deviation + _GREY_LEVEL)
    square = normal * normal
    yield normal.abs().mean((2, 3))
    yield _log(square.mean((2, 3)), 1e-3)
    yield (square * normal).mean((2, 3))
    yield _log((square * square).mean((2, 3)), 1e-2)
    yield (normal[..., 1:] * normal[..., :-1]).mean((2, 3))
    yield (normal[..., 1:, :] * normal[..., :-1, :]).mean((2, 3))
    yield (normal[..., 1:, 1:] * normal[..., :-1, :-1]).mean((2, 3))
    yield (normal[..., 1:, :-1] * normal[..., :-1, 1:]).mean((2, 3))
    yield (normal[..., 2:] * normal[..., :-2]).mean((2, 3))
    yield (normal[..., 2:, :] * normal[..., :-2, :]).mean((2, 3))


def _orientation(luma: Tensor) -> Iterable[Tensor]:
    """Structure tensor of luma (B, s, s): preferred direction of the whole, and coherence of its parts."""
    across = (luma[:, 1:-1, 2:] - luma[:, 1:-1, :-2]) / 2
    down = (luma[:, 2:, 1:-1] - luma[:, :-2, 1:-1]) / 2
    tensor = torch.stack([across * across, down * down, across * down], 1)
    whole = tensor.mean((2, 3))
    xx, yy, xy = whole.unbind(1)
    yield torch.stack(
        [_log(xx, 1e-7) - _log(yy, 1e-7), xy / (xx + yy + 1e-7), _elongation(whole) / (xx + yy + 1e-6)], 1
    )
    for window in (3, 7):
        parts = _filter(tensor, _boxes(tensor.shape[-1], min(window, tensor.shape[-1]), 2))
        trace, length = parts[:, 0] + parts[:, 1], _elongation(parts)
        yield (length / (trace + 1e-5)).mean((1, 2))[:, None]
        yield (length.mean((1, 2)) / (trace.mean((1, 2)) + 1e-6))[:, None]


def _sharpness(bands: Sequence[Tensor]) -> Iterable[Tensor]:
    """Energy of fine detail over that of coarser detail in the same places; edges count most.

    Args:
        bands: luma detail (B, s, s), the side halved from one to the next.
    """
    coarsest = bands[-1].shape[-1]
    energies = []
    for band in bands:
        factor = band.shape[-1] // coarsest
        boxes = _boxes(band.shape[-1], 4 * factor, 2 * factor)
        energies.append(_log(_filter(band.square(), boxes), 1e-7).flatten(1))
    for fine, coarse in ((0, 1), (1, 2), (0, 2)):
        ratio = energies[fine] - energies[coarse]
        yield _quantiles(ratio[:, None, None], (0.1, 0.5, 0.9, 1.0))
        yield (energies[coarse].softmax(-1) * ratio).sum(-1, keepdim=True)


def _luma_and_chroma(view: Tensor) -> Tensor:
    """Y, Cb and Cr of Rec. 601, chroma around zero."""
    return _mix(view, _FROM_RGB)


def _mix(planes: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    """Linear combinations of planes in each place: (B, 3, h, w), (3, 3) -> (B, 3, h, w)."""
    return (planes.new_tensor(weights) @ planes.flatten(2)).unflatten(2, planes.shape[2:])


def _quantiles(planes: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles, the nearest values, of every plane: (B, C, h, w) -> (B, C, len(shares))."""
    flat = planes.flatten(2)
    if flat.device.type == "cpu" and not flat.requires_grad:
        # The same order in a tenth of the time.
        ordered = torch.from_numpy(np.sort(flat.numpy(), axis=-1))
    else:
        ordered = flat.sort(-1).values
    last = ordered.shape[-1] - 1
    return ordered[..., [round(share * last) for share in shares]]


def _products(planes: Tensor) -> Tensor:
    """Mean products of planes with each other: (B, C, h, w) -> (B, C, C)."""
    flat = planes.flatten(2)
    return flat @ flat.mT / flat.shape[-1]


def _correlations(covariances: Tensor, deviations: Tensor) -> Tensor:
    """Correlation coefficients of three planes: (B, 3, 3), (B, 3) -> (B, 3)."""
    pairs = ((0, 1), (0, 2), (1, 2))
    return torch.stack([covariances[:, a, b] / (deviations[:, a] * deviations[:, b]) for a, b in pairs], 1)


def _elongation(tensor: Tensor) -> Tensor:
    """Difference of the structure tensor's eigenvalues: (B, 3, ...) -> (B, ...)."""
    xx, yy, xy = tensor.unbind(1)
    return ((xx - yy).square() + 4 * xy.square() + 1e-12).sqrt()


def _log(values: Tensor, floor: float) -> Tensor:
    return torch.log(values + floor)


def _filter(planes: Tensor, rows: Tensor, columns: Tensor | None = None) -> Tensor:
    """Separable linear filter, given as matrices: many times as fast as a depthwise convolution on a CPU."""
    rows = rows.to(planes)
    columns = rows if columns is None else columns.to(planes)
    return rows @ (planes @ columns.T)


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def _gaussian(side: int) -> Tensor:
    """(side, side): a Gaussian of 7/6 pixels, cut at 7 pixels, reflected at the borders."""
    offsets = torch.arange(-3, 4)
    weights = torch.exp(-offsets.square() / (2 * (7 / 6) ** 2))
    matrix = torch.zeros(side, side)
    for row in range(side):
        for offset, weight in zip(offsets.tolist(), weights / weights.sum(), strict=True):
            column = abs(row + offset)
            matrix[row, min(column, 2 * (side - 1) - column)] += weight
    return matrix


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def _boxes(side: int, width: int, stride: int) -> Tensor:
    """(places, side): means of `width` neighbours, every `stride` pixels."""
    places = (side - width) // stride + 1
    matrix = torch.zeros(places, side)
    for place in range(places):
        matrix[place, place * stride : place * stride + width] = 1 / width
    return matrix


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def _waves(length: int) -> Tensor:
    """(length, 2 `_PERIODS`): cosines, then sines."""
    frequencies = torch.arange(1, _PERIODS + 1) / (2 * _PERIODS)
    phases = 2 * math.pi * torch.arange(length)[:, None] * frequencies
    return torch.cat([phases.cos(), phases.sin()], 1)


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def _window(side: int) -> Tensor:
    window = torch.hann_window(side, periodic=False)
    return window[:, None] * window


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def _rings(side: int) -> Tensor:
    """(half spectrum, rings): weights of the mean over each ring of frequencies."""
    down, across = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    ring = torch.bucketize((down.square() + across.square()).sqrt().flatten(), torch.tensor(_RINGS)) - 1
    inside = F.one_hot(ring.clamp(min=0), len(_RINGS))[:, :-1].float()
    return inside / inside.sum(0).clamp(min=1)


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def _neighbours() -> tuple[Tensor, ...]:
    """For each range of distances the places, in a flattened window, that lie so far from its middle."""
    offsets = torch.arange(-_REACH, _REACH + 1)
    distance = (offsets[:, None].square() + offsets.square()).float().sqrt().flatten()
    return tuple(((distance >= low) & (distance < high)).nonzero()[:, 0] for low, high in _DISTANCES)
