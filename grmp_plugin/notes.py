"""Remarks on a result: worth knowing, but no error."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One remark, in the form of a `GRMPError`.

    Attributes:
        message: What is worth knowing, in words about things, not about command-line options.
        see: Names of arguments that change it.
    """

    message: str
    see: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.message} (see {', '.join(self.see)})" if self.see else self.message
