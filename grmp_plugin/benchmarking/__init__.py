"""The experiments of few-shot papers: methods x shots x splits x data sets, one row each, as tables."""
