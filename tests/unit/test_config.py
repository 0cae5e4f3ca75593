"""Configuration from plain data and YAML: strict about keys and types, with messages that say where."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from grmp_plugin.config import check_keys, from_dict, read_yaml, to_dict
from grmp_plugin.errors import ConfigError


@dataclass(frozen=True)
class Section:
    """A nested section."""

    steps: int = 3
    kinds: tuple[str, ...] = ()
    ends: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Reject impossible values."""
        if self.steps < 1:
            raise ConfigError(f"steps must be positive, not {self.steps}")


@dataclass(frozen=True)
class Config:
    """A field of each type that a configuration may have."""

    name: str = "a"
    share: float = 0.5
    first: bool = False
    limit: int | None = None
    span: Sequence[float] | None = None
    extra: dict[str, Any] | None = None
    section: Section = field(default_factory=Section)


def test_plain_data_and_back():
    plain = {
        "name": "b",
        "share": 1,
        "first": True,
        "limit": 4,
        "span": [1, 5],
        "extra": {"x": [1]},
        "section": {"steps": 2, "kinds": ["blur"], "ends": [0, 2.5]},
    }
    config = from_dict(Config, plain, "x.yml")
    section = Section(2, ("blur",), (0.0, 2.5))
    assert config == Config("b", 1.0, True, 4, (1.0, 5.0), {"x": [1]}, section)
    assert isinstance(config.share, float)
    assert from_dict(Config, to_dict(config), "x.yml") == config
    assert from_dict(Config, {"limit": None}, "x.yml") == from_dict(Config, {}, "x.yml") == Config()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nmae": "b"}, "x.yml: unknown key 'nmae'. Did you mean 'name'?"),
        ({"section": {"stesp": 1}}, "x.yml: section: unknown key 'stesp'. Did you mean 'steps'?"),
        (
            {"section": {"zzz": 1}},
            "x.yml: section: unknown key 'zzz'. Known: steps, kinds, ends.",
        ),
        ({7: 1}, "x.yml: unknown key '7'. Known: name, share, first, limit, span, extra, section."),
        (
            {"share": "1e-4"},
            "x.yml: share: expected a number, found '1e-4' (YAML reads 1e-4 as text: write 1.0e-4)",
        ),
        ({"share": True}, "x.yml: share: expected a number, found True"),
        ({"name": 3}, "x.yml: name: expected text, found 3"),
        ({"name": None}, "x.yml: name: expected text, found nothing (null)"),
        ({"first": "no"}, "x.yml: first: expected true or false, found 'no'"),
        ({"first": 1}, "x.yml: first: expected true or false, found 1"),
        ({"limit": 2.5}, "x.yml: limit: expected a whole number, found 2.5"),
        ({"limit": True}, "x.yml: limit: expected a whole number, found True"),
        ({"extra": [1]}, "x.yml: extra: expected a section, found [1]"),
        ({"span": "1-5"}, "x.yml: span: expected a list, found '1-5'"),
        ({"section": None}, "x.yml: section: expected a section with keys, found None"),
        ({"section": {"kinds": "blur"}}, "x.yml: section: kinds: expected a list, found 'blur'"),
        ({"section": {"kinds": [1]}}, "x.yml: section: kinds: expected text, found 1"),
        ({"section": {"ends": [1]}}, "x.yml: section: ends: expected a list of 2, found [1]"),
        ({"section": {"steps": 0}}, "x.yml: section: steps must be positive, not 0"),
        ([1], "x.yml: expected a section with keys, found [1]"),
    ],
)
def test_wrong_data(data, message):
    with pytest.raises(ConfigError) as caught:
        from_dict(Config, data, "x.yml")
    assert str(caught.value) == message


def test_unknown_keys():
    check_keys({"a": 1}, ("a", "b"), "x")
    with pytest.raises(ConfigError, match=r"x: unknown key 'c'\. Known: a, b\."):
        check_keys({"a": 1, "c": 2}, ("a", "b"), "x")


def test_later_yaml_files_override_earlier_ones(tmp_path):
    (tmp_path / "first.yml").write_text("name: b\nsection: {steps: 5, kinds: [blur]}\n")
    (tmp_path / "second.yml").write_text("section:\n  steps: 7\n")
    config = read_yaml(Config, tmp_path / "first.yml", tmp_path / "second.yml")
    assert config == Config("b", section=Section(7, ("blur",)))


@pytest.mark.parametrize("content", [b"name: [", b"\xff\xfe", None])
def test_unreadable_yaml(tmp_path, content):
    file = tmp_path / "x.yml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.yml cannot be read as YAML: "):
        read_yaml(Config, file)
