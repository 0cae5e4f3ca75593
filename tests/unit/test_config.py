"""Configuration from plain data and YAML: strict about keys and types, with messages that say where."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from grmp_cli import options
from grmp_cli.errors import message as in_options

import grmp_plugin
from grmp_plugin import files
from grmp_plugin.api.ratings import as_ratings
from grmp_plugin.config import (
    Between,
    Length,
    NetworkConfig,
    PreprocessConfig,
    PromptConfig,
    check_bounds,
    check_keys,
    from_dict,
    read_yaml,
    to_dict,
)
from grmp_plugin.errors import ConfigError
from grmp_plugin.training.named_data import named_ratings
from grmp_plugin.training.pyiqa_data import TasksOptions
from grmp_plugin.training.settings import AdaptConfig, AdaptSettings, PretrainConfig, PretrainSettings


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


# --- bounds ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounded:
    """A field of each kind that has bounds."""

    size: Annotated[int, Between(1, 8)]
    pair: Annotated[int, Between(1, 8)] | tuple[Annotated[int, Between(1, 8)], ...] = 1
    rate: Annotated[float, Between(0, 1, above=True)] | None = None
    texts: Annotated[tuple[Annotated[str, Length(1, 3)], ...], Length(1, 2)] = ("a",)

    def __post_init__(self) -> None:
        """Reject values out of bounds."""
        check_bounds(self)


def test_values_within_bounds():
    found = from_dict(Bounded, {"size": 8, "pair": [1, 8], "rate": 1, "texts": ["abc"]}, "x.yml")
    assert found == Bounded(8, (1, 8), 1.0, ("abc",))
    assert from_dict(Bounded, {"size": 1, "pair": 3, "rate": None}, "x.yml") == Bounded(1, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "x.yml: the key 'size' is missing"),
        ({"size": 0}, "x.yml: size: must be at least 1, not 0"),
        ({"size": 9}, "x.yml: size: must be at most 8, not 9"),
        ({"size": 1, "pair": [1, 9]}, "x.yml: pair: must be at most 8, not 9"),
        ({"size": 1, "pair": "1"}, "x.yml: pair: expected a whole number, found '1'"),
        ({"size": 1, "rate": 0}, "x.yml: rate: must be larger than 0, not 0.0"),
        ({"size": 1, "rate": float("nan")}, "x.yml: rate: expected a finite number, found nan"),
        ({"size": 1, "rate": 10**400}, "x.yml: rate: 1000000000000"),
        ({"size": 1, "texts": []}, "x.yml: texts: must not be empty, not ()"),
        ({"size": 1, "texts": ["a", "b", "c"]}, "x.yml: texts: must have at most 2 items"),
        ({"size": 1, "texts": ["abcd"]}, "x.yml: texts: must have at most 3 characters, not 'abcd'"),
        ({"size": 1, "texts": ["\ud800"]}, "x.yml: texts: '\\ud800' is not valid Unicode"),
    ],
)
def test_values_out_of_bounds(data, message):
    with pytest.raises(ConfigError) as caught:
        from_dict(Bounded, data, "x.yml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"grid": 1_000_000}, "grid: must be at most 16"),
        ({"size": 10**9}, "size: must be at most 8192"),
        ({"scales": [0.5] * 100_000}, "scales: must have at most 16 items"),
        ({"scales": [0.0]}, "scales: must be larger than 0"),
        ({"mean": [0.5, 0.5, float("inf")]}, "mean: expected a finite number"),
        ({"mean": [1, 2]}, "mean: expected a list of 3"),
        ({"std": [0.2, 0.0, 0.2]}, "std: must be at least 0.001"),
        ({"kind": "crops", "grid": 16, "size": 2000}, "views of 2000 x 2000 pixels"),
    ],
)
def test_views_out_of_bounds(data, message):
    with pytest.raises(ConfigError, match=r"^x: ") as caught:
        from_dict(PreprocessConfig, data, "x")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"context_tokens": 10**9}, "context_tokens: must be at most 256"),
        ({"visual_prompts": 10**9}, "visual_prompts: must be at most 4096"),
        ({"prompt_dropout": 1}, "prompt_dropout: must be at most 0.99"),
        ({"quality_texts": ["good", "good"]}, "the two quality_texts are the same"),
        ({"quality_texts": ["good", ""]}, "quality_texts: must not be empty"),
        ({"scene_text": "a photo"}, "does not contain {scene}"),
        ({"scenes": []}, "scenes: must not be empty"),
    ],
)
def test_networks_out_of_bounds(data, message):
    with pytest.raises(ConfigError, match=r"^x: ") as caught:
        from_dict(NetworkConfig, data, "x")
    assert message in str(caught.value)


def test_texts_of_scenes_are_no_formats():
    """`str.format` would read attributes, and pad to gigabytes."""
    config = NetworkConfig(scene_text="{scene} {scene.__class__} {0} {scene:>9999999999}", scenes=("a", "b"))
    assert config.scene_texts == (
        "a {scene.__class__} {0} {scene:>9999999999}",
        "b {scene.__class__} {0} {scene:>9999999999}",
    )
    assert NetworkConfig().scene_texts[0] == "a photo of a animal"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (AdaptConfig, "splits: 0", "splits: must be positive, not 0"),
        (AdaptConfig, "splits: 10000000", "splits: must be at most 1000000"),
        (AdaptConfig, "seed: -1", "seed: must be from 0 to 4294967295, not -1"),
        (AdaptConfig, "seed: 1.0e+30", "seed: expected a whole number"),
        (AdaptConfig, "seed: 5000000000", "seed: must be from 0 to 4294967295"),
        (AdaptConfig, "training: {learning_rate: .nan}", "training: learning_rate: nan is not a finite"),
        (AdaptConfig, "training: {learning_rate: .inf}", "training: learning_rate: inf is not a finite"),
        (AdaptConfig, "training: {learning_rate: 0}", "training: learning_rate: must be positive"),
        (AdaptConfig, "training: {epochs: 10000000}", "training: epochs: must be at most 1000000"),
        (AdaptConfig, "training: {shots: 1}", "training: shots: must be at least 2, not 1"),
        (AdaptConfig, "prompts: {context_tokens: 0}", "prompts: context_tokens: must be at least 1"),
        (AdaptConfig, "prompts: {quality_texts: [good]}", "prompts: quality_texts: expected a list of 2"),
        (PretrainConfig, "seed: -1", "seed: must be from 0"),
        (PretrainConfig, "data: []", "data: must not be empty"),
        (
            PretrainConfig,
            "training: {outer_learning_rate: -.inf}",
            "rate: -inf is not a finite",
        ),
    ],
)
def test_training_out_of_bounds(tmp_path, kind, text, message):
    file = tmp_path / "training.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(kind, file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    # The command would put an option before it, had the error named an argument.
    assert caught.value.argument is None
    assert in_options(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_rates_that_are_no_numbers_are_refused_in_python_too(value):
    for settings, name in ((AdaptSettings, "learning_rate"), (PretrainSettings, "outer_learning_rate")):
        with pytest.raises(ConfigError) as caught:
            settings(**{name: value})
        assert caught.value.argument == name


def test_prompts_replace_what_they_name():
    prompts = PromptConfig(context_tokens=8, quality_texts=("good photo.", "bad photo."))
    config = prompts.applied_to(NetworkConfig(visual_prompts=7))
    assert config == NetworkConfig(
        context_tokens=8, visual_prompts=7, quality_texts=("good photo.", "bad photo.")
    )
    assert PromptConfig().given == {}


def test_the_default_folder_of_data_sets_is_the_same_everywhere():
    calls = (grmp_plugin.adapt, grmp_plugin.compare, grmp_plugin.pretrain, as_ratings, named_ratings)
    defaults = [inspect.signature(call).parameters["data_root"].default for call in calls]
    assert {*defaults, TasksOptions(model="any").dataroot, str(options.DATA_ROOT)} == {files.DATA_ROOT}
