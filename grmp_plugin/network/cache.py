"""A cache for values that depend on weights alone, invalidated when a weight changes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

# Entries compared in each weight. Version counters miss writes through `.data` (as in many implementations of
# weight averaging); such writes change whole tensors, so a few entries reveal them.
_PROBES = 8


class _Entry(NamedTuple):
    identity: tuple[Any, ...]
    weights: tuple[Tensor, ...]  # kept alive, so that no new tensor can take the identity of a freed one
    probe: Tensor
    value: Any


class WeightCache:
    """Values computed from weights, recomputed when any of the weights has changed.

    Changes are detected by tensor identity, storage, version counter, dtype, device and sampled entries.
    While a weight requires gradients nothing is cached, so that every call builds its own graph. A copy or a
    pickle of the cache is empty.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def get(self, name: str, weights: Sequence[Tensor], compute: Callable[[], T]) -> T:
        """The cached value of `compute()`, which must depend on `weights` alone.

        Args:
            name: Name of the value.
            weights: Every tensor that `compute` reads.
            compute: Called without gradients if its result is cached.
        """
        if torch.is_grad_enabled() and any(w.requires_grad for w in weights):
            return compute()
        if any(w.is_inference() for w in weights):  # these have no version counter
            return compute()
        # Values made in inference mode could not take part in a later backward pass.
        with torch.inference_mode(False), torch.no_grad():
            identity = _identity(weights)
            probe = _probe(weights)
            entry = self._entries.get(name)
            if entry is None or entry.identity != identity or not torch.equal(entry.probe, probe):
                entry = _Entry(identity, tuple(weights), probe, compute())
                self._entries[name] = entry
            result: T = entry.value
            return result

    def values(self) -> dict[str, Any]:
        """What is cached now, by name."""
        return {name: entry.value for name, entry in self._entries.items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> "WeightCache":
        return WeightCache()

    def __reduce__(self) -> tuple[type["WeightCache"], tuple[()]]:
        return (WeightCache, ())


def _identity(weights: Sequence[Tensor]) -> tuple[Any, ...]:
    # Under autocast the same weights give other values.
    device = weights[0].device.type
    autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
    return (
        autocast,
        *((id(w), w.data_ptr(), w._version, w.dtype, w.device, w.shape) for w in weights),
    )


def _probe(weights: Sequence[Tensor]) -> Tensor:
    # float64 only where needed: some devices lack it.
    dtype = torch.float64 if any(w.dtype == torch.float64 for w in weights) else torch.float32
    samples = []
    for weight in weights:
        flat = weight.detach().reshape(-1)
        samples.append(flat[:: max(1, flat.numel() // _PROBES)][: _PROBES + 1].to(dtype))
    return torch.cat(samples)
