"""Results as one HTML page: no other files, no network, readable without JavaScript, dark or printed."""

from grmp_plugin.report.comparison_page import comparison_report
from grmp_plugin.report.scores_page import scores_report

__all__ = ["comparison_report", "scores_report"]
