"""One error tree: whatever a user can fix is a `GRMPError`, whose message says what is wrong and what to do.

Messages speak of things (a file, a row, a setting), never of command-line options: who calls from Python has
none. Errors carry the names of the arguments involved; the command turns these into its options.
"""

from collections.abc import Sequence


class GRMPError(Exception):
    """Base class of all errors that this package raises on purpose.

    Args:
        message: What is wrong, where, and what to do next.
        argument: Name of the Python argument that the message is about.
        see: Names of arguments that solve the problem.
    """

    def __init__(self, message: str, *, argument: str | None = None, see: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.see = tuple(see)

    def __str__(self) -> str:
        text = self.message if self.argument is None else f"{self.argument}: {self.message}"
        return f"{text} (see {', '.join(self.see)})" if self.see else text


class ConfigError(GRMPError):
    """A configuration has an unknown key, a value of the wrong type, or contradicting settings."""


class BackboneError(GRMPError):
    """A CLIP model is unknown or unsupported, or its weights are unavailable."""


class CheckpointError(GRMPError):
    """A checkpoint file is missing, unsafe, damaged, or does not fit the network."""


class WeightsUnavailableError(GRMPError):
    """Weights need a download that failed."""


class ImageError(GRMPError):
    """An image file cannot be decoded, or a tensor is not an image."""


class InputError(GRMPError):
    """A path, argument or data file is wrong."""


class VocabularyError(GRMPError):
    """A text contains words whose embeddings the model does not carry."""


class TrainingError(GRMPError):
    """Training cannot continue: gradients are not finite, or a saved state belongs to another run."""


class DataUnavailableError(GRMPError):
    """A data set needs a download that failed."""


class MetricError(GRMPError):
    """A metric cannot be created or cannot score an image; other metrics are not affected."""


class TrainingInterrupted(GRMPError):  # noqa: N818 - the user asked for it
    """The user stopped a training; its state is saved if a place for it was given."""
