"""GRMP-IQA for pyiqa: a no-reference image quality metric that adapts to about 50 rated images.

>>> import pyiqa, grmp_plugin
>>> "grmp_iqa-tiny" in pyiqa.list_models("NR")
True

Functions and classes load when first used: importing this package imports neither torch nor pyiqa.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grmp_plugin.registration import add_metrics_when_pyiqa_is_imported
from grmp_plugin.version import __version__

if TYPE_CHECKING:
    from grmp_plugin.api.adapt import adapt
    from grmp_plugin.api.adaptation import Adaptation
    from grmp_plugin.api.benchmark import BenchmarkResult, benchmark
    from grmp_plugin.api.compare import ComparisonResult, compare
    from grmp_plugin.api.export import export
    from grmp_plugin.api.label import label
    from grmp_plugin.api.models import load
    from grmp_plugin.api.pretrain import Pretraining, pretrain
    from grmp_plugin.api.recover import recover_mos
    from grmp_plugin.api.recovered import RecoveredMos
    from grmp_plugin.api.saved_scores import SavedScores, shards
    from grmp_plugin.api.score import score
    from grmp_plugin.api.scores import Scores
    from grmp_plugin.data.ratings import Ratings
    from grmp_plugin.data.ratings_file import read_ratings
    from grmp_plugin.errors import GRMPError
    from grmp_plugin.progress import Progress

# Public name -> module that defines it.
_LAZY = {
    "Adaptation": "grmp_plugin.api.adaptation",
    "BenchmarkResult": "grmp_plugin.api.benchmark",
    "ComparisonResult": "grmp_plugin.api.compare",
    "GRMPError": "grmp_plugin.errors",
    "Pretraining": "grmp_plugin.api.pretrain",
    "Progress": "grmp_plugin.progress",
    "Ratings": "grmp_plugin.data.ratings",
    "RecoveredMos": "grmp_plugin.api.recovered",
    "SavedScores": "grmp_plugin.api.saved_scores",
    "Scores": "grmp_plugin.api.scores",
    "adapt": "grmp_plugin.api.adapt",
    "benchmark": "grmp_plugin.api.benchmark",
    "compare": "grmp_plugin.api.compare",
    "export": "grmp_plugin.api.export",
    "label": "grmp_plugin.api.label",
    "load": "grmp_plugin.api.models",
    "pretrain": "grmp_plugin.api.pretrain",
    "read_ratings": "grmp_plugin.data.ratings_file",
    "recover_mos": "grmp_plugin.api.recover",
    "score": "grmp_plugin.api.score",
    "shards": "grmp_plugin.api.saved_scores",
}

__all__ = [
    "Adaptation",
    "BenchmarkResult",
    "ComparisonResult",
    "GRMPError",
    "Pretraining",
    "Progress",
    "Ratings",
    "RecoveredMos",
    "SavedScores",
    "Scores",
    "__version__",
    "adapt",
    "benchmark",
    "compare",
    "export",
    "label",
    "load",
    "pretrain",
    "read_ratings",
    "recover_mos",
    "score",
    "shards",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)


add_metrics_when_pyiqa_is_imported()
