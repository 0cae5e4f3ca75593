"""Make text of unknown origin safe to display."""


def printable(text: str) -> str:
    """Return the text with control characters and undecodable bytes escaped; file names may contain any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, length: int = 300) -> str:
    """Return the text, or its beginning followed by an ellipsis."""
    return text if len(text) <= length else f"{text[:length]}..."
