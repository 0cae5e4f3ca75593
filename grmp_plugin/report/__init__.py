"""Results as a single HTML page: self-contained, readable without JavaScript, in dark mode and in print."""

from grmp_plugin.report.benchmark_page import benchmark_report
from grmp_plugin.report.comparison_page import comparison_report
from grmp_plugin.report.ratings_page import ratings_report
from grmp_plugin.report.scores_page import scores_report

__all__ = ["benchmark_report", "comparison_report", "ratings_report", "scores_report"]
