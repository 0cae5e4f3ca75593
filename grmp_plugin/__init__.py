"""GRMP-IQA for pyiqa: import this beside pyiqa, in any order, and its metrics are there.

>>> import pyiqa, grmp_plugin
>>> "grmp_iqa-tiny" in pyiqa.list_models("NR")
True
"""

from grmp_plugin.registration import add_metrics_when_pyiqa_is_imported
from grmp_plugin.version import __version__

__all__ = ["__version__"]

add_metrics_when_pyiqa_is_imported()
