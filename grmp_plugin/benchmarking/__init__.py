"""The experiments of few-shot papers: methods x shots x draws x data sets, one row each, as tables."""
