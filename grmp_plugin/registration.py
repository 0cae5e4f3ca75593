"""The names that pyiqa knows us by; the target of every entry point, so importing it must stay cheap.

pyiqa looks for architectures in its registry, which loads our entry point by itself, but for metrics in a
table of its own that only `import grmp_plugin` can extend. Neither needs the other to be imported first.
"""

from typing import Any

import wrapt

_ARCHITECTURES = {"GRMPIQA": "grmp_plugin.network.grmp_iqa:GRMPIQA"}
_METRICS = ("grmp_iqa", "grmp_iqa-tiny")


def add_metrics_when_pyiqa_is_imported() -> None:
    """Add our metrics to pyiqa's table: at once if pyiqa is loaded, else as soon as it is."""
    wrapt.when_imported("pyiqa.default_model_configs")(_add_metrics)


def _add_metrics(module: Any) -> None:
    for name in _METRICS:
        module.DEFAULT_CONFIGS[name] = {
            "metric_opts": {"type": "GRMPIQA", "model": name},
            "metric_mode": "NR",
            "lower_better": False,
            "score_range": "0, 1",
        }


def _register_architectures(module: Any) -> None:
    for name, target in _ARCHITECTURES.items():
        module.ARCH_REGISTRY.register_lazy(name, target, override=True)


# pyiqa is never imported from here: an entry point is loaded by a pyiqa that is already there.
wrapt.when_imported("pyiqa.utils.registry")(_register_architectures)
