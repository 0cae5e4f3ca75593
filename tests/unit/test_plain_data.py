"""JSON and YAML that no configuration can mean: refused at once, with file and place."""

import datetime
import time
from itertools import pairwise

import pytest

from grmp_plugin.errors import ConfigError
from grmp_plugin.plain_data import MAX_DEPTH, check_plain, read_json, read_yaml_file, shown


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def laughs(first: str, again: str) -> str:
    """A hundred million values in a few lines."""
    names = "abcdefghi"
    lines = [f"a: &a {first}"]
    for before, name in pairwise(names):
        aliases = ",".join([f"*{before}"] * 10)
        lines.append(f"{name}: &{name} {again % aliases}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7: 1", "the key 7 is not text; write it in quotes"),
        ("training: {true: 1}", "training: the key True is not text"),
        ("? [a]\n: 1", "unhashable key"),
        ("seed: 2001-02-31", "timestamp that cannot be converted"),
        ("seed: 2001-02-28", "seed: datetime.date(2001, 2, 28) is read as a date"),
        ("seed: !!int abc", "int that cannot be converted"),
        ("seed: !!float x", "float that cannot be converted"),
        ("seed: !!bool x", "bool that cannot be converted"),
        ("seed: !!timestamp x", "timestamp that cannot be converted"),
        ("seed: !!python/object:os.system x", "could not determine a constructor"),
        ("seed: !!set {a}", "is read as a set"),
        ("seed: " + "9" * 5000, "int that cannot be converted"),
        ("seed: 0x" + "f" * 20_000, "seed: a number of thousands of digits is too large a number"),
        ("seed: 99999999999999999999", "seed: 99999999999999999999 is too large a number"),
        ("rates: [0.1, .nan]", "rates: item 2: nan is not a finite number"),
        ("rate: -.inf", "rate: -inf is not a finite number"),
        (nested(MAX_DEPTH + 1), "nested more than 32 deep"),
        (nested(3000), "nested more than 32 deep"),
        ("{a: " * 3000, "nested more than 32 deep"),
        ("- " * 3000, "nested more than 32 deep"),
        ("a: &a [*a]", "nested more than 32 deep"),
        (laughs("[1, 2]", "[%s]"), "more than 20000 values"),
        (laughs("{x: 1}", "{<<: [%s]}"), "more than 20000 values"),
        ("a: 1\n" * 60_000, "larger than 256 KiB"),
        ("\0", "special characters are not allowed"),
        ("a: [", "cannot be read as YAML"),
    ],
    ids=lambda value: shown(value)[:40],
)
def test_yaml_that_is_refused(tmp_path, text, message):
    file = tmp_path / "hostile.yml"
    file.write_text(text)
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_yaml_file(file)
    assert time.process_time() - started < 5
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_yaml_of_all_kinds_of_plain_data(tmp_path):
    (tmp_path / "plain.yml").write_text(
        "\ufefftext: Größe\nnumber: 1\nrate: 1.0e-4\nfirst: true\nnone: null\nlist: [1, [a]]\n"
        "same: &s {x: 1}\nmerged: {<<: *s, y: 2}\n",
        encoding="utf-8",
    )
    assert read_yaml_file(tmp_path / "plain.yml") == {
        **{"text": "Größe", "number": 1, "rate": 1e-4, "none": None, "list": [1, ["a"]]},
        **{"same": {"x": 1}, "merged": {"x": 1, "y": 2}},
        "first": True,
    }
    (tmp_path / "deep.yml").write_text(nested(MAX_DEPTH))
    assert read_yaml_file(tmp_path / "deep.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (nested(100_000), "nested more than 32 deep"),
        (nested(MAX_DEPTH + 2), "nested more than 32 deep"),
        ('{"seed": ' + "9" * 5000 + "}", "not JSON"),
        ('{"seed": 1' + "0" * 30 + "}", "seed: 1000000000000000000000000000000 is too large"),
        ('{"rate": 1e999}', "rate: inf is not a finite number"),
        ('"' + "x" * (17 << 20) + '"', "larger than 16 MiB"),
        ("[" + "0," * 2_000_001 + "0]", "more than 2000000 values"),
    ],
    ids=lambda value: shown(value)[:40],
)
def test_json_that_is_refused(text, message):
    started = time.process_time()
    with pytest.raises(ConfigError, match="history: ") as caught:
        read_json(text, "history")
    assert time.process_time() - started < 5
    assert message in str(caught.value)


def test_nan_of_earlier_releases_is_no_value():
    assert read_json('{"angle": NaN, "low": -Infinity, "high": Infinity}', "x") == {
        "angle": None,
        "low": None,
        "high": None,
    }


def test_place_of_a_value():
    with pytest.raises(ConfigError, match=r"^f: a: item 2: b: datetime"):
        check_plain({"a": [1, {"b": datetime.date(2001, 1, 1)}]}, "f")


def test_values_in_messages_are_short():
    assert shown("x") == "'x'"
    assert shown([1]) == "[1]"
    assert "\x1b" not in shown("\x1b[31m")
    for value in ("x" * 10**6, [[0] * 1000] * 1000, {"k" * 1000: "v" * 1000}, 10**5000):
        assert len(shown(value)) < 400
