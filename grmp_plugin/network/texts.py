"""From words to rows of a token embedding, which may hold only some of CLIP's tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from grmp_plugin.errors import VocabularyError
from grmp_plugin.network.tokenizer import END, START, decode, encode


class TokenizedTexts(NamedTuple):
    """Texts as rows of a token embedding: `rows` (T, L), and `end` (T,), each text's end-of-text position."""

    rows: Tensor
    end: Tensor


def clip_token_ids(text: str) -> list[int]:
    """CLIP's token numbers of a text, with start and end of text."""
    return [START, *encode(text), END]


def vocabulary_of(texts: Sequence[str]) -> Tensor:
    """Sorted CLIP token numbers (V,) of all words in `texts`, and of start, end and padding."""
    ids = {0}
    for text in texts:
        ids.update(clip_token_ids(text))
    return torch.tensor(sorted(ids))


def tokenize(texts: Sequence[str], vocabulary: Tensor | None, context_length: int) -> TokenizedTexts:
    """Rows of the token embedding for each text, cut after the end-of-text token of the longest text.

    Args:
        texts: What to encode.
        vocabulary: (V,) sorted CLIP token numbers of the rows that the model holds; None for all of CLIP's.
        context_length: Longest sequence that the text tower accepts.

    Raises:
        VocabularyError: For a word without an embedding, or a text that is too long.
    """
    ids = [clip_token_ids(text) for text in texts]
    longest = max(len(i) for i in ids)
    if longest > context_length:
        raise VocabularyError(
            f"a text of {longest} tokens is longer than the text tower accepts, {context_length}"
        )
    padded = torch.tensor([i + [0] * (longest - len(i)) for i in ids])
    end = torch.tensor([len(i) - 1 for i in ids])
    if vocabulary is None:
        return TokenizedTexts(padded, end)
    vocabulary = vocabulary.cpu()
    rows = torch.searchsorted(vocabulary, padded).clamp(max=len(vocabulary) - 1)
    for text, found, wanted in zip(texts, vocabulary[rows], padded, strict=True):
        for token in wanted[found != wanted].tolist():
            word = decode(token)
            raise VocabularyError(
                f"this model has no embedding for '{word}' in '{text}', only for the words of its own texts; "
                "for other words use a model with a full CLIP",
                see=("backbone_weights",),
            )
    return TokenizedTexts(rows, end)
