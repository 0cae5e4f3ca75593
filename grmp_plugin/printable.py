"""Text that may come from anywhere, made safe to show."""


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes spelled out: names may hold anything."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
