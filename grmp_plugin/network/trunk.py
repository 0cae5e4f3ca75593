"""A convolutional trunk, EfficientNet-Lite, in place of the patch embedding of a small ViT.

A small network cannot learn on its own what photographs show and what degrades them. The trunk adds features
learned from a million photographs. Each 32-pixel cell of a view becomes a token, made from means and standard
deviations of feature maps at several depths within the cell; the same statistics of the whole view are added
to the class token.

Sources: EfficientNet, arXiv:1905.11946; EfficientNet-Lite (without squeeze-and-excitation, with ReLU6),
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Batch normalisation is
frozen: one scale and bias per channel.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from grmp_plugin.config import Between, check_bounds
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.cache import WeightCache
from grmp_plugin.network.fused import convolution, prepared, scores_only
from grmp_plugin.plain_data import shown

CELL = 32
"""Side of a cell, the part of a view that becomes one token, in pixels: the trunk's total stride."""

# For each stage: kernel, stride of its first block, expansion, channels, blocks.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280  # channels, equal for all variants
# Multipliers of channels and blocks; the first and the last stage keep their number of blocks.
_VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
# Stages read within each cell: means and standard deviations if a cell has several positions, else the
# values.
_LOCAL_STAGES = (1, 2, 4, 6)
# On a CPU: with more, the largest maps exceed what the allocator keeps, and fresh memory is slow.
_VIEWS_AT_ONCE = 4
# Where a standardised statistic saturates, in standard deviations: keeps unusual views in range.
_REACH = 4.0


@dataclass(frozen=True)
class TrunkConfig:
    """Sizes of the trunk."""

    variant: str = "lite0"  # or lite1, lite2
    hidden: Annotated[int, Between(1, 16384)] = 256  # units of the MLP on the whole view's statistics

    def __post_init__(self) -> None:
        """Reject impossible values, quoting them."""
        check_bounds(self)
        if self.variant not in _VARIANTS:
            raise ConfigError(f"variant: must be one of {', '.join(_VARIANTS)}, not {shown(self.variant)}")


class TrunkStatistics(NamedTuple):
    """Statistics of B views: `cells` (B, cells, local) and `view` (B, global)."""

    cells: Tensor
    view: Tensor


class ConvTrunk(nn.Module):
    """Tokens of a view's cells, and a summary of the view, from statistics of the trunk's feature maps.

    Args:
        width: Width of a token.
        variant: `lite0`, `lite1` or `lite2`.
        hidden: Hidden units of the MLP on the whole view's statistics.

    Shapes:
        input: (B, 3, S, S), normalised; S a multiple of 32.
    """

    cells_mean: Tensor
    cells_std: Tensor
    view_mean: Tensor
    view_std: Tensor

    def __init__(self, width: int, variant: str = "lite0", hidden: int = 256) -> None:
        super().__init__()
        self.out_channels = width
        self.net = EfficientNetLite(variant)
        local, whole = self.net.statistics_sizes()
        for name, size in (("cells", local), ("view", whole)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.local = nn.Linear(local, width)
        self.summary = nn.Sequential(nn.Linear(whole, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, cells, width), and the summary (B, width) to add to the class token."""
        return self.embed(self.net.statistics(pixels))

    def embed(self, statistics: TrunkStatistics) -> tuple[Tensor, Tensor]:
        """As `forward`, from statistics."""
        cells = _standardized(statistics.cells, self.cells_mean, self.cells_std)
        return self.local(cells), self.summary(self.standardized_view(statistics.view))

    def standardized_view(self, view: Tensor) -> Tensor:
        """Standardised statistics (B, global) of whole views, the input of the summary."""
        return _standardized(view, self.view_mean, self.view_std)

    @torch.no_grad()
    def standardize(self, statistics: TrunkStatistics) -> None:
        """Set the standardisation constants from the statistics of many views, once, before training."""
        for name, values in (("cells", statistics.cells.flatten(0, 1)), ("view", statistics.view)):
            getattr(self, f"{name}_mean").copy_(values.mean(0))
            getattr(self, f"{name}_std").copy_(values.std(0) + 1e-3)


class EfficientNetLite(nn.Module):
    """The trunk without its classifier, with the padding of TensorFlow's `SAME`."""

    def __init__(self, variant: str = "lite0") -> None:
        super().__init__()
        width, depth = _VARIANTS[variant]
        self.stem = _Conv(3, _STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        self.stage_ends: list[int] = []
        channels, self.channels = _STEM, []
        for number, (kernel, stride, expansion, base, repeats) in enumerate(_STAGES):
            fixed = number in (0, len(_STAGES) - 1)
            out = _rounded(base * width)
            for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
                blocks.append(_Block(channels, out, kernel, 1 if repeat else stride, expansion))
                channels = out
            self.stage_ends.append(len(blocks) - 1)
            self.channels.append(out)
        self.blocks = nn.ModuleList(blocks)
        self.head = _Conv(channels, _HEAD, 1)
        self._cache = WeightCache()

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Feature maps at the end of every stage and after the head: (B, channels, h, w) each.

        Args:
            pixels: (B, 3, H, W), RGB as (value - 127) / 128 of 8-bit values.
        """
        return [_turned(map_) for map_ in self._turned_maps(pixels)]

    def _turned_maps(self, pixels: Tensor) -> list[Tensor]:
        """As `forward`, with all maps turned by half a turn: `_Conv` says why."""
        kernels = iter(self._kernels(pixels))
        x = self.stem(_turned(pixels).contiguous(memory_format=torch.channels_last), next(kernels))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x, kernels)
            if number in self.stage_ends:
                maps.append(x)
        return [*maps, self.head(x, next(kernels))]

    def _kernels(self, pixels: Tensor) -> list[Tensor]:
        """The kernels of all convolutions, in order; kept where only scores of the pixels are wanted."""
        convolutions = [module for module in self.modules() if isinstance(module, _Conv)]
        if not scores_only(pixels):
            return [one.kernel() for one in convolutions]
        weights = [tensor for one in convolutions for tensor in (one.weight, one.scale)]
        return self._cache.get("kernels", weights, lambda: [one.prepared_kernel() for one in convolutions])

    def statistics(self, pixels: Tensor) -> TrunkStatistics:
        """Means and standard deviations of the feature maps, within each cell and over the whole view."""
        if not scores_only(pixels):
            return self._statistics(pixels)
        parts = [self._statistics(part) for part in pixels.split(_VIEWS_AT_ONCE)]
        return TrunkStatistics(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def _statistics(self, pixels: Tensor) -> TrunkStatistics:
        maps = self._turned_maps(pixels)
        rows, columns = maps[-1].shape[-2:]
        cells: list[Tensor] = []
        view: list[Tensor] = []
        for number in _LOCAL_STAGES:
            map_ = maps[number]
            view += _moments(map_.flatten(2))
            if map_.shape[-2:] == (rows, columns):
                cells.append(map_.flatten(2))
                continue
            side = map_.shape[-1] // columns
            parts = map_.unflatten(3, (columns, side)).unflatten(2, (rows, side))
            cells += _moments(parts.transpose(3, 4).flatten(4).flatten(2, 3))
        view += _moments(maps[-1].flatten(2))
        # In the maps that are turned by half a turn the last cell comes first.
        return TrunkStatistics(torch.cat(cells, 1).flip(2).transpose(1, 2), torch.cat(view, 1))

    def statistics_sizes(self) -> tuple[int, int]:
        """Number of statistics of a cell and of a view."""
        channels = [self.channels[number] for number in _LOCAL_STAGES]
        return 2 * sum(channels[:-1]) + channels[-1], 2 * (sum(channels) + _HEAD)


class _Conv(nn.Module):
    """Convolution, frozen batch normalisation and, if active, ReLU6, on maps turned by half a turn.

    With a stride, TensorFlow pads an even map at its end only; torch pads both ends, and would start a pixel
    earlier. On the turned map it starts in the right place, and does not reach the padding at the other end.
    So pixels and kernels are turned, which costs less than copying large maps to pad them.
    """

    scale: Tensor

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, channels // groups, kernel, kernel))
        # Random numbers on the meta device would cost a second of imports.
        if not self.weight.is_meta:
            nn.init.kaiming_normal_(self.weight)
        self.bias = nn.Parameter(torch.zeros(out))
        # Kept apart from the weight, so that an optimizer step has the same effect on every channel.
        self.register_buffer("scale", torch.ones(out))
        self.stride, self.groups, self.active = stride, groups, active

    def kernel(self) -> Tensor:
        """What a map is convolved with: weights, with the scale of each channel, turned."""
        return _turned(self.weight * self.scale[:, None, None, None])

    def prepared_kernel(self) -> Tensor:
        """The kernel for maps of which only scores are wanted."""
        return prepared(self.kernel(), self.stride, self.groups)

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        return convolution(x, kernel, self.bias, self.stride, self.groups, relu6=self.active)


class _Block(nn.Module):
    """An inverted residual block: expand, filter each channel, project."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = _Conv(channels, hidden, 1) if expansion > 1 else None
        self.filter = _Conv(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.project = _Conv(hidden, out, 1, active=False)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor, kernels: Iterator[Tensor]) -> Tensor:
        y = x if self.expand is None else self.expand(x, next(kernels))
        y = self.project(self.filter(y, next(kernels)), next(kernels))
        result: Tensor = x + y if self.residual else y
        return result


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but at most a tenth below `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _turned(x: Tensor) -> Tensor:
    """Images or kernels (..., H, W), turned by half a turn."""
    return x.flip(-2, -1)


def _moments(values: Tensor) -> list[Tensor]:
    """Mean and standard deviation over the last dimension; the offset keeps gradients finite."""
    mean = values.mean(-1)
    variance = (values - mean.unsqueeze(-1)).square().mean(-1)
    return [mean, (variance + 1e-6).sqrt()]


def _standardized(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return _REACH * torch.tanh((values - mean) / (std * _REACH))
