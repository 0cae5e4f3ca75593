"""CLIP's tokenizer: byte-pair encoding of lower-cased words, without importing open_clip.

The list of merges is open_clip's file. CLIP numbers its symbols in this order: 256 bytes, the same 256 at the
end of a word, one symbol per merge, start of text, end of text. So the position of a merge in the list is its
rank, and determines the number of the symbol that it makes.

Algorithm: "Neural Machine Translation of Rare Words with Subword Units", arXiv:1508.07909.
"""

import gzip
import html
import unicodedata
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import NamedTuple

from grmp_plugin.network.open_clip_files import open_clip_file

START, END = 49406, 49407
"""Numbers of start and end of text."""

_SPECIAL = {"<start_of_text>": START, "<end_of_text>": END}
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_FIRST_MERGE = 2 * 256
_WORD_END = "</w>"


class _Symbol(NamedTuple):
    """A byte, or several that have been merged."""

    letters: str  # as in the list of merges
    number: int


def encode(text: str) -> list[int]:
    """CLIP's token numbers of a text, without start and end of text."""
    return [number for word in _words(_clean(text)) for number in _encode_word(word)]


def decode(token: int) -> str:
    """The text of a token; U+FFFD where its bytes are only part of a character."""
    if token >= START:
        return next(text for text, number in _SPECIAL.items() if number == token)
    if token < _FIRST_MERGE:
        return bytes([list(_bytes())[token % 256]]).decode(errors="replace")
    merge = list(_merges())[token - _FIRST_MERGE]
    byte_of = {symbol.letters: byte for byte, symbol in _bytes().items()}
    letters = merge.replace(" ", "").removesuffix(_WORD_END)
    return bytes(byte_of[letter] for letter in letters).decode(errors="replace")


def _clean(text: str) -> str:
    """Fix encoding errors, resolve entities, lower-case, collapse spaces: as for CLIP's training texts."""
    # Printable ASCII without entities has nothing to fix.
    if not (text.isascii() and text.isprintable()) or "&" in text:
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def _words(text: str) -> list[str]:
    """Split a text as CLIP does: special tokens, contractions, letters, single digits, other signs."""
    words = []
    for rest in text.split():
        while rest:
            words.append(_first_word(rest))
            rest = rest[len(words[-1]) :]  # noqa: PLW2901
    return words


def _first_word(text: str) -> str:
    known = next((known for known in (*_SPECIAL, *_CONTRACTIONS) if text.startswith(known)), None)
    if known is not None:
        return known
    kind = _kind(text[0])
    return text[0] if kind == "N" else "".join(takewhile(lambda character: _kind(character) == kind, text))


def _kind(character: str) -> str:
    """L for a letter, N for a number, an empty string for any other sign."""
    kind = unicodedata.category(character)[0]
    return kind if kind in "LN" else ""


@lru_cache(maxsize=4096)
def _encode_word(word: str) -> tuple[int, ...]:
    """Merge neighbours as long as possible, each time all occurrences of the pair with the lowest rank."""
    if word in _SPECIAL:
        return (_SPECIAL[word],)
    merges = _merges()
    *symbols, last = (_bytes()[byte] for byte in word.encode())
    symbols.append(_Symbol(last.letters + _WORD_END, last.number + 256))
    while True:
        pairs = [f"{left.letters} {right.letters}" for left, right in pairwise(symbols)]
        best = min((pair for pair in pairs if pair in merges), key=merges.__getitem__, default=None)
        if best is None:
            return tuple(symbol.number for symbol in symbols)
        made = _Symbol(best.replace(" ", ""), _FIRST_MERGE + merges[best])
        merged: list[_Symbol] = []
        for symbol in symbols:
            # A merged symbol is longer than either half, so it cannot be merged again here.
            if merged and f"{merged[-1].letters} {symbol.letters}" == best:
                merged[-1] = made
            else:
                merged.append(symbol)
        symbols = merged


@lru_cache(maxsize=1)
def _merges() -> dict[str, int]:
    """Pair of symbols, separated by a space -> rank."""
    path = open_clip_file("bpe_simple_vocab_16e6.txt.gz")
    # The first line is a comment, and CLIP uses only the first part of the file.
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : START - _FIRST_MERGE + 1]
    return {pair: rank for rank, pair in enumerate(lines)}


@lru_cache(maxsize=1)
def _bytes() -> dict[int, _Symbol]:
    """Byte -> symbol, in the order of their numbers: first the bytes that Latin-1 prints, as themselves."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printed]
    letters = [chr(byte) for byte in printed] + [chr(256 + place) for place in range(len(others))]
    return {
        byte: _Symbol(letter, number)
        for number, (byte, letter) in enumerate(zip(printed + others, letters, strict=True))
    }
