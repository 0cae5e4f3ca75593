"""CLIP's tokenizer against open_clip's."""

import random
import string

import pytest
from open_clip.tokenizer import SimpleTokenizer

from grmp_plugin.config import NetworkConfig
from grmp_plugin.network.texts import clip_token_ids
from grmp_plugin.network.tokenizer import END, START, decode, encode
from grmp_plugin.training.embedded import captions


@pytest.fixture(scope="module")
def theirs():
    return SimpleTokenizer()


def test_texts_of_the_project(theirs):
    for text in captions.all_texts(NetworkConfig(), ["two dogs on green grass, one of them asleep"]):
        assert encode(text) == theirs.encode(text), text
    assert clip_token_ids("high quality.") == [START, *theirs.encode("high quality."), END]
    assert [theirs.sot_token_id, theirs.eot_token_id] == [START, END]


@pytest.mark.parametrize("seed", range(3))
def test_random_ascii(theirs, seed):
    rng = random.Random(seed)
    alphabets = (string.printable, string.ascii_letters + " '.", string.ascii_lowercase, "a<>&;mplt '")
    for _ in range(300):
        text = "".join(rng.choices(rng.choice(alphabets), k=rng.randint(0, 40)))
        assert encode(text) == theirs.encode(text), text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "   ",
            "it's",
            "I'LL say we've DON'T",
            "aaaaaaaaaaaaaaaaaaaaa",
            "x" * 300,
            "2024 and 1.5",
            "a_b-c",
        ),
        *("<start_of_text> a <end_of_text>", "!<end_of_text>", "tab\tnew\nline\u00a0x\u2003y", "\x1b[31mred"),
        *(
            "über café naïve",
            "“quoted” — text…",
            "写真の画質",
            "12\uff13 ½ ² ⅷ",
            "schÃ¶n",
            "&amp;lt;b&gt; &eacute;",
        ),
        *("😀 good 👍🏽", "İstanbul", "नमस्ते", "ﬁne", "e\u0301", "Ωμέγα Ж"),
    ],
)
def test_other_texts(theirs, text):
    assert encode(text) == theirs.encode(text)


def test_letters_of_tokens(theirs):
    for token in (0, 255, 256, 511, 512, 1400, 3027, 269, 49405, *range(1000, 49000, 997)):
        assert decode(token) == theirs.decode([token]).strip()
    assert decode(START) == "<start_of_text>"
