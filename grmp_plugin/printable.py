"""Make text of unknown origin safe to display."""


def printable(text: str) -> str:
    """Return the text with control characters and undecodable bytes escaped; file names may contain any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
