"""Text for people: safe to display whatever its origin, shortened, or counted."""


def printable(text: str) -> str:
    """Return the text with control characters and undecodable bytes escaped; file names may contain any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, length: int = 300) -> str:
    """Return the text, or its beginning followed by an ellipsis."""
    return text if len(text) <= length else f"{text[:length]}..."


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 image`, `1,200 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
