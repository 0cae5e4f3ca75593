"""Register the architecture, trainers, data sets and metrics of this package with pyiqa.

The target of every entry point, so importing it must stay cheap. pyiqa finds architectures, trainers and data
sets in registries, which load the entry points by themselves; its metrics are in a plain table, which only
`import grmp_plugin` can extend. The two packages may be imported in either order.
"""

from typing import Any

import wrapt

# Registry -> name -> target, resolved at first use.
_REGISTERED = {
    "ARCH_REGISTRY": {"GRMPIQA": "grmp_plugin.network.grmp_iqa:GRMPIQA"},
    "MODEL_REGISTRY": {
        "GRMPPretrainModel": "grmp_plugin.training.pretrain_model:GRMPPretrainModel",
        "GRMPAdaptModel": "grmp_plugin.training.adapt_model:GRMPAdaptModel",
    },
    "DATASET_REGISTRY": {
        "GRMPShotsDataset": "grmp_plugin.training.pyiqa_data:GRMPShotsDataset",
        "GRMPTasksDataset": "grmp_plugin.training.pyiqa_data:GRMPTasksDataset",
    },
}
_METRICS = ("grmp_iqa", "grmp_iqa-tiny")


def add_metrics_when_pyiqa_is_imported() -> None:
    """Add our metrics to pyiqa's table: now if pyiqa is loaded, otherwise as soon as it is."""
    wrapt.when_imported("pyiqa.default_model_configs")(_add_metrics)


def _add_metrics(module: Any) -> None:
    for name in _METRICS:
        module.DEFAULT_CONFIGS[name] = {
            "metric_opts": {"type": "GRMPIQA", "model": name},
            "metric_mode": "NR",
            "lower_better": False,
            "score_range": "0, 1",
        }


def _register(module: Any) -> None:
    for registry, targets in _REGISTERED.items():
        for name, target in targets.items():
            getattr(module, registry).register_lazy(name, target, override=True)


# Never imports pyiqa: an entry point is loaded by a pyiqa that is already loaded.
wrapt.when_imported("pyiqa.utils.registry")(_register)
