"""Examples in Markdown pages: fenced blocks of Python and of shell commands, in the order of the page.

Every `python` and `sh` block is an example that runs. One that cannot has a comment above it that says why:

    <!-- skip: needs a GPU -->
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^<!-- skip: (?P<reason>.+) -->\n)?^```(?P<language>python|sh)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """One block.

    Attributes:
        line: Where its code begins in the page, from 1.
        language: `python` or `sh`.
        code: As printed.
        skip: Why it does not run; None where it does.
    """

    line: int
    language: str
    code: str
    skip: str | None


def examples(page: Path) -> list[Example]:
    """The examples of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Example(text.count("\n", 0, found.start("code")) + 1, found["language"], found["code"], found["reason"])
        for found in _BLOCK.finditer(text)
    ]


def grmp_calls(code: str) -> list[list[str]]:
    """Arguments of every call of `grmp` in shell commands, without what follows in a pipe."""
    calls = []
    for line in code.splitlines():
        for command in re.split(r"\s\|\s", line):
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and words[0] == "grmp":
                calls.append(words[1:])
    return calls
