"""A small stem that may stand in place of the patch embedding of a small ViT.

A tiny network has neither the width nor the training to discover what quality shows in. The stem starts
from it: log-energies of an 8x8 DCT with two convolutions on them, and statistics of the whole view, both
standardised with constants measured before training; what a small MLP makes of the statistics is added
to every token.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grmp_plugin.config import IMAGENET_MEAN, IMAGENET_STD
from grmp_plugin.network.view_statistics import STATISTICS, view_statistics

_BLOCK = 8  # pixels; JPEG's block too
_CHROMA = 16  # low-frequency coefficients kept of each chroma channel
# Floor of an energy before its logarithm: about the square of one 8-bit step, in normalised pixels.
_FLOOR = 1e-4
# Deviations at which a standardised statistic saturates: a view unlike all others stays within reach.
_REACH = 3.0


class StatisticsStem(nn.Module):
    """Patch tokens with stride 16 from local spectra, and a summary of the view from its statistics.

    Args:
        width: of a token.
        hidden: channels between the local convolutions.
        summary: hidden units of the MLP on the statistics.

    Shapes:
        input: (B, 3, S, S), normalised, S a multiple of 16.  returns: (B, width, S / 16, S / 16).
    """

    energy_mean: Tensor
    energy_std: Tensor
    statistics_mean: Tensor
    statistics_std: Tensor

    def __init__(self, width: int, hidden: int = 96, summary: int = 256) -> None:
        super().__init__()
        channels = _BLOCK**2 + 2 * _CHROMA
        self.out_channels = width
        self.spectrum = nn.Conv2d(3, channels, _BLOCK, stride=_BLOCK, bias=False)
        if not self.spectrum.weight.is_meta:
            with torch.no_grad():
                self.spectrum.weight.copy_(dct_filters())
        self.register_buffer("energy_mean", torch.zeros(channels))
        self.register_buffer("energy_std", torch.ones(channels))
        self.register_buffer("statistics_mean", torch.zeros(STATISTICS))
        self.register_buffer("statistics_std", torch.ones(STATISTICS))
        self.local = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(hidden, width, 1)
        )
        self.summary = nn.Sequential(
            nn.Linear(STATISTICS, summary),
            nn.GELU(),
            nn.Linear(summary, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.patches = nn.Conv2d(3, width, 16, stride=16)

    def forward(self, pixels: Tensor) -> Tensor:
        """Tokens on a grid: (B, 3, S, S) -> (B, width, S / 16, S / 16)."""
        return self.tokens(pixels)[0]

    def tokens(self, pixels: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens on a grid, and what the class token is given of the whole view.

        Args:
            pixels: (B, 3, S, S), normalised, float32.
            statistics: what `statistics` gave for them, where it is known already.

        Returns:
            (B, width, S / 16, S / 16) and (B, width).
        """
        if statistics is None:
            statistics = self.statistics(pixels)
        energies = (self.energies(pixels) - self.energy_mean[:, None, None]) / self.energy_std[:, None, None]
        summary = self.summary(self.standardized(statistics))
        return self.local(energies) + self.patches(pixels) + summary[:, :, None, None], summary

    def energies(self, pixels: Tensor) -> Tensor:
        """Logarithms of local spectral energies: (B, 3, S, S) -> (B, channels, S / 8, S / 8)."""
        return torch.log(self.spectrum(pixels).square() + _FLOOR)

    @staticmethod
    def statistics(pixels: Tensor) -> Tensor:
        """Statistics of normalised pixels: (B, 3, S, S) -> (B, `STATISTICS`)."""
        # Single grey levels count, which half precision cannot tell apart.
        exact = pixels.to(torch.promote_types(pixels.dtype, torch.float32))
        mean = torch.tensor(IMAGENET_MEAN, dtype=exact.dtype, device=exact.device)
        std = torch.tensor(IMAGENET_STD, dtype=exact.dtype, device=exact.device)
        with torch.autocast(exact.device.type, enabled=False):
            return view_statistics(exact * std[:, None, None] + mean[:, None, None])

    def standardized(self, statistics: Tensor) -> Tensor:
        """Statistics (B, `STATISTICS`) around 0 with deviation 1, and bounded."""
        bounded = _REACH * torch.tanh((statistics - self.statistics_mean) / (self.statistics_std * _REACH))
        return bounded.to(self.statistics_mean.dtype)

    @torch.no_grad()
    def standardize(self, pixels: Tensor, statistics: Tensor) -> None:
        """Measure the constants that standardise energies and statistics, once, before training.

        Args:
            pixels: (B, 3, S, S), normalised; some hundred typical views.
            statistics: (N, `STATISTICS`), of many views.
        """
        energies = self.energies(pixels)
        self.energy_mean.copy_(energies.mean((0, 2, 3)))
        self.energy_std.copy_(energies.std((0, 2, 3)) + 1e-3)
        self.statistics_mean.copy_(statistics.mean(0))
        self.statistics_std.copy_(statistics.std(0) + 1e-4)


def dct_filters() -> Tensor:
    """The DCT-II of luma, and the low frequencies of two chroma channels: (96, 3, 8, 8).

    Luma weights are those of Rec. 601; frequencies are ordered along anti-diagonals, low ones first.
    """
    n = torch.arange(_BLOCK, dtype=torch.float64)
    rows = torch.cos(math.pi * (2 * n[None] + 1) * n[:, None] / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    rows[0] /= math.sqrt(2)
    planes = torch.einsum("ui,vj->uvij", rows, rows).reshape(-1, _BLOCK, _BLOCK)
    order = sorted(range(_BLOCK**2), key=lambda i: (i // _BLOCK + i % _BLOCK, i))
    planes = planes[order]
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    blue = F.normalize(torch.tensor([-0.169, -0.331, 0.5], dtype=torch.float64), dim=0)
    red = F.normalize(torch.tensor([0.5, -0.419, -0.081], dtype=torch.float64), dim=0)
    filters = [luma[:, None, None] * planes[:, None]]
    filters += [colour[:, None, None] * planes[:_CHROMA, None] for colour in (blue, red)]
    return torch.cat(filters).float() / _BLOCK * 4
