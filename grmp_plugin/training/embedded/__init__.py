"""Training of the embedded model, from nothing: `python -m grmp_plugin.training.embedded`."""
