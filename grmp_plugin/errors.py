"""One error tree: whatever the user can mend is a `GRMPError`, with a message that says how."""


class GRMPError(Exception):
    """Base of all errors that this package raises on purpose; the message is meant for the user."""


class ConfigError(GRMPError):
    """A configuration has an unknown key, a value of the wrong kind, or options that contradict."""


class BackboneError(GRMPError):
    """A CLIP model is unknown, unsupported, or its weights cannot be had."""


class CheckpointError(GRMPError):
    """A checkpoint file is missing, unsafe, damaged, or does not fit the network."""


class WeightsUnavailableError(GRMPError):
    """Weights would have to be downloaded and cannot be."""


class ImageError(GRMPError):
    """An image file cannot be decoded, or a tensor is not an image."""


class InputError(GRMPError):
    """A path, option or data file given by the user is wrong."""


class VocabularyError(GRMPError):
    """A text contains words whose embeddings a model does not carry."""


class TrainingError(GRMPError):
    """Training cannot go on: the numbers are not finite, or a saved state belongs to another run."""


class DataUnavailableError(GRMPError):
    """A data set would have to be downloaded and cannot be."""


class MetricError(GRMPError):
    """A metric cannot be created, or has no score for an image; it concerns nothing but itself."""


class TrainingInterrupted(GRMPError):  # noqa: N818 - no error: the user wanted it
    """The user asked a training to stop; its state is saved where there is a place for it."""
