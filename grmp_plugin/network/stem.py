"""A small convolutional stem that may stand in place of the patch embedding of a small ViT.

A tiny network has neither the width nor the training to discover local spectra, which quality shows in.
The stem starts from them: an 8x8 DCT, its log-energies (standardised with constants measured before
training), two convolutions, and global statistics of the energies added to every token.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK = 8  # pixels; JPEG's block too
_CHROMA = 16  # low-frequency coefficients kept of each chroma channel
# Floor of an energy before its logarithm: about the square of one 8-bit step, in normalised pixels.
_FLOOR = 1e-4


class ConvStem(nn.Module):
    """Patch tokens with stride 16 from local spectra.

    Shapes:
        input: (B, 3, S, S), normalised, S a multiple of 16.  returns: (B, width, S / 16, S / 16).
    """

    energy_mean: Tensor
    energy_std: Tensor
    statistics_mean: Tensor
    statistics_std: Tensor

    def __init__(self, width: int, hidden: int = 96) -> None:
        super().__init__()
        channels = _BLOCK**2 + 2 * _CHROMA
        self.out_channels = width
        self.spectrum = nn.Conv2d(3, channels, _BLOCK, stride=_BLOCK // 2, padding=_BLOCK // 4, bias=False)
        if not self.spectrum.weight.is_meta:
            with torch.no_grad():
                self.spectrum.weight.copy_(dct_filters())
        self.register_buffer("energy_mean", torch.zeros(channels))
        self.register_buffer("energy_std", torch.ones(channels))
        self.register_buffer("statistics_mean", torch.zeros(3 * channels))
        self.register_buffer("statistics_std", torch.ones(3 * channels))
        self.local = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden, width, 3, stride=2, padding=1),
        )
        self.statistics = nn.Sequential(nn.Linear(3 * channels, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.patches = nn.Conv2d(3, width, 16, stride=16)

    def forward(self, pixels: Tensor) -> Tensor:
        """Tokens on a grid: (B, 3, S, S) -> (B, width, S / 16, S / 16)."""
        return self.tokens(pixels)[0]

    def tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens on a grid, and what the class token is given of the whole view.

        Args:
            pixels: (B, 3, S, S), normalised.

        Returns:
            (B, width, S / 16, S / 16) and (B, width).
        """
        energies = self.energies(pixels)
        local = self.local((energies - self.energy_mean[:, None, None]) / self.energy_std[:, None, None])
        pooled = self.statistics((pool(energies) - self.statistics_mean) / self.statistics_std)
        return local + self.patches(pixels) + pooled[:, :, None, None], pooled

    def energies(self, pixels: Tensor) -> Tensor:
        """Logarithms of local spectral energies: (B, 3, S, S) -> (B, channels, S / 4, S / 4)."""
        return torch.log(self.spectrum(pixels).square() + _FLOOR)

    @torch.no_grad()
    def standardize(self, pixels: Tensor) -> None:
        """Measure the constants that standardise energies and statistics, once, before training.

        Args:
            pixels: (B, 3, S, S), normalised; some hundred typical views.
        """
        energies = self.energies(pixels)
        statistics = pool(energies)
        self.energy_mean.copy_(energies.mean((0, 2, 3)))
        self.energy_std.copy_(energies.std((0, 2, 3)) + 1e-3)
        self.statistics_mean.copy_(statistics.mean(0))
        self.statistics_std.copy_(statistics.std(0) + 1e-3)


def pool(energies: Tensor) -> Tensor:
    """Mean and deviation of the log-energies, and logarithm of the mean energy: (B, C, h, w) -> (B, 3 C)."""
    flat = energies.flatten(2)
    power = flat.logsumexp(-1) - math.log(flat.shape[-1])
    mean = flat.mean(-1)
    # As torch.std, whose CPU kernel takes ten times as long; clamped, as the root has no gradient at 0.
    variance = (flat - mean.unsqueeze(-1)).square().sum(-1) / (flat.shape[-1] - 1)
    return torch.cat([mean, variance.clamp(min=1e-12).sqrt(), power], dim=1)


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
