"""Whatever a file holds: no traceback, no answer later than five seconds, and an error names the file.

More examples: see `tests/support/hostile_values.py`.
"""

import dataclasses
import io
import json
import math
import signal
import time
import zipfile
from functools import partial

import hostile_values
import hypothesis
import hypothesis.strategies as st
import numpy as np
import open_clip  # noqa: F401 - takes seconds
import pytest
import torch
import yaml
from grmp_cli.app import app
from hostile_values import NUMBERS, WORDS, check, damaged, variations
from safetensors import safe_open
from typer.testing import CliRunner
from written_kinds import WRITES_COMPLEX

import grmp_plugin as grmp
from grmp_plugin.api.judge import mos_scale
from grmp_plugin.api.models import load_model, model_facts
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.network.checkpoint import read_checkpoint, write_checkpoint
from grmp_plugin.training.presets import read_config
from grmp_plugin.training.settings import AdaptConfig, PretrainConfig
from grmp_plugin.training.state import SavedState

# Of YAML.
PARTS = (
    *("seed", "training", ":", " ", "\n", "- ", "[", "]", "{", "}", "&a", "*a", "<<", "? ", "| ", "> ", "'"),
    *("!!int", "!!map", "!!float", "!!timestamp", "!!binary", "\t", "#", "%", "---", "...", "1", "~", '"'),
    *("2001-01-01", "1:2", "0x", ".inf", "é", "\\ud800", "10e400", "splits: 0", "training: {shots: 1}"),
)
CONFIG = {
    "backbone": {
        "name": "small",
        "weights": None,
        "architecture": {
            "embed_dim": 32,
            "quick_gelu": True,
            "vision_cfg": {"layers": 3, "width": 48, "head_width": 16, "patch_size": 8, "image_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        },
    },
    "context_tokens": 4,
    "visual_prompts": 5,
    "prompt_dropout": 0.1,
    "quality_texts": ["high quality.", "low quality."],
    "scene_text": "a photo of a {scene}",
    "scenes": ["animal", "plant"],
    "preprocess": {
        "kind": "crops",
        "size": 32,
        "resize": 36,
        "short_side": 64,
        "scales": [1.0, 0.5],
        "grid": 2,
    },
}
INFO = {
    "licence": "none",
    "mos_scale": {"low": 0.0, "high": 100.0, "lower_better": False, "source": "declared"},
    "learned_from": {"shots": {"a.png": "0" * 64}},
    "metrics": {"before": {"srcc": 0.5}},
}
TRAINING = {
    "model": "grmp_iqa-tiny",
    "backbone_weights": "openai",
    "data": "ratings.csv",
    "splits": 2,
    "seed": 1,
    "prompts": {"context_tokens": 4, "quality_texts": ["good", "bad"]},
    "training": {"shots": 10, "epochs": 3, "learning_rate": 0.001, "sampling": "spread", "protocol": "own"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


class Whole:
    """A checkpoint file, to be written again with other metadata."""

    def __init__(self, content):
        size = int.from_bytes(content[:8], "little")
        self.header, self.data = json.loads(content[8 : 8 + size]), content[8 + size :]

    def __repr__(self):
        return "<a checkpoint>"

    def write(self, file, **metadata):
        header = {**self.header, "__metadata__": {**self.header["__metadata__"], **metadata}}
        text = json.dumps(header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + self.data)


@pytest.fixture(scope="module")
def whole(small_checkpoint, folder):
    file = folder / "good.safetensors"
    write_checkpoint(small_checkpoint(), file)
    return Whole(file.read_bytes())


def use(file, finite=True):
    """Load and score, as `grmp score --scale mos` does."""
    model = load_model(str(file))
    with torch.no_grad():
        score = model.network(torch.rand(1, 3, 40, 50))
    assert score.isfinite().all() or not finite
    mos_scale(model, None)


@pytest.fixture(autouse=True)
def without_hub(monkeypatch):
    """A configuration may name weights that would have to be downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def show(file, form):
    """`grmp models info` prints nothing that a terminal would obey."""
    model_facts(str(file))
    shown = CliRunner().invoke(app, ["models", "info", str(file), "--format", form])
    assert shown.exit_code == 0
    assert all(c.isprintable() or c in "\r\n" for c in shown.output)


@hypothesis.given(config=variations(CONFIG))
def test_configuration_of_a_checkpoint(whole, folder, config):
    file = folder / "config.safetensors"
    whole.write(file, config=json.dumps(config))
    check(file, use)


@hypothesis.given(info=variations(INFO), form=st.sampled_from(["table", "csv", "json", "jsonl"]))
def test_history_of_a_checkpoint(whole, folder, info, form):
    file = folder / "info.safetensors"
    whole.write(file, info=json.dumps(info))
    check(file, use, lambda file: show(file, form))


@hypothesis.given(config=st.text(), info=st.text(), version=st.text(max_size=5))
def test_metadata_of_any_text(whole, folder, config, info, version):
    file = folder / "text.safetensors"
    for metadata in ({"config": config}, {"info": info}, {"grmp_format": version}):
        whole.write(file, **metadata)
        check(file, use)


@pytest.fixture(scope="module")
def contents(small_checkpoint, folder, whole):
    """The same tensors as safetensors, as PyTorch's two formats, and as TorchScript."""
    found = {"safetensors": (folder / "good.safetensors").read_bytes()}
    tensors = {name: t[:2] if t.ndim else t for name, t in small_checkpoint().tensors.items()}
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save(tensors, stream, _use_new_zipfile_serialization=zipped)
        found["zip" if zipped else "legacy"] = stream.getvalue()
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(found["zip"])) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/constants.pkl", b"\x80\x02).")
    found["torchscript"] = stream.getvalue()
    return found


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy", "torchscript"])
@hypothesis.given(data=st.data())
def test_damaged_bytes(contents, folder, kind, data):
    file = folder / f"damaged-{kind}.pt"
    file.write_bytes(data.draw(damaged(contents[kind])))
    # Several flipped weights can still overflow together, which the row of each image says.
    check(file, read_checkpoint, partial(use, finite=False))


@hypothesis.given(content=st.binary(max_size=200))
def test_any_bytes(folder, content):
    for start in (b"", b"PK\x03\x04", b"\x80\x02", b"\x10\0\0\0\0\0\0\0{"):
        file = folder / "any.pt"
        file.write_bytes(start + content)
        check(file, use, lambda file: SavedState(file, {}).load())


@hypothesis.given(config=variations(TRAINING))
def test_yaml_of_other_values(folder, config):
    file = folder / "values.yml"
    file.write_text(yaml.dump(config, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    for kind in (AdaptConfig, PretrainConfig):
        check(file, partial(read_config, kind))


@hypothesis.given(
    text=st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(PARTS),
            max_size=30,
        ).map(lambda parts: "".join(parts).encode()),
    )
)
def test_yaml_of_any_text(folder, text):
    file = folder / "text.yml"
    file.write_bytes(text)
    for kind in (AdaptConfig, PretrainConfig):
        check(file, partial(read_config, kind))


CELLS = st.one_of(
    WORDS,
    NUMBERS.map(lambda number: str(number)[:500]),
    st.sampled_from(
        ["a.png", "b.png", "image", "mos", "1", "2.5", "1,5", "nan", "inf", '"', "", " ", "\n", "\r", "=1"]
    ),
)


@hypothesis.given(
    rows=st.lists(st.lists(CELLS, max_size=5), max_size=8),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    header=st.sampled_from(["", "image,mos\n", "image;mos\n", "mos,image,ref\n", "image,mos,image\n"]),
    quote=st.booleans(),
)
def test_csv_of_any_cells(folder, rows, separator, header, quote):
    file = folder / "cells.csv"
    cell = (lambda text: '"' + text.replace('"', '""') + '"') if quote else str
    lines = [separator.join(cell(text) for text in row) for row in rows]
    file.write_text(header + "\n".join(lines), encoding="utf-8", errors="surrogatepass", newline="")
    check(file, read_ratings, partial(read_ratings, raw=True, skip_bad=True))


@hypothesis.given(content=st.binary(max_size=300))
def test_csv_of_any_bytes(folder, content):
    file = folder / "bytes.csv"
    for start in (b"", b"image,mos\n", b"\xff\xfe", b"\xef\xbb\xbfimage,mos\n"):
        file.write_bytes(start + content)
        check(file, partial(read_ratings, skip_bad=True))


@pytest.mark.parametrize("cell", ["x" * 131_073, "x" * 10**6, '"' + "\n" * 10**6])
@pytest.mark.parametrize("header", ["", "image,mos\n"])
def test_cells_of_any_length(folder, header, cell):
    file = folder / "long.csv"
    file.write_text(f"{header}{cell},1\na.png,2\n")
    with pytest.raises(GRMPError, match=r"long\.csv") as caught:
        read_ratings(file)
    assert len(str(caught.value)) < 1000


def test_a_device_without_end_is_no_table():
    with pytest.raises(GRMPError, match="/dev/zero: larger than 256 MiB"):
        read_ratings("/dev/zero")


HEAD = {"head.bias": (1,), "head.logit": (1,), "head.features": (32,), "head_prior": (5, 2)}
DTYPES = (
    *(torch.float32, torch.float16, torch.bfloat16, torch.float64),
    torch.int64,
    torch.bool,
    *((torch.complex64,) if WRITES_COMPLEX else ()),
)


@pytest.mark.parametrize("variant", ["vit", "trunk"])
@hypothesis.given(data=st.data())
def test_heads_and_priors_of_any_kind(small_checkpoint, folder, variant, data):
    """Tensors of a linear head, and the prior for one, of any shape, type and value."""
    checkpoint = small_checkpoint(variant)
    tensors = dict(checkpoint.tensors)
    statistics = 3552 if variant == "trunk" else 0
    right = {
        **HEAD,
        "head_prior": (statistics, 2),
        **({"head.statistics": (statistics,)} if statistics else {}),
    }
    for name in data.draw(st.lists(st.sampled_from([*right, "head.other", "head."]), unique=True)):
        sizes = st.lists(st.sampled_from([0, 1, 2, 32, statistics]), max_size=3).map(tuple)
        shape = data.draw(st.one_of(st.just(right.get(name, (1,))), sizes))
        hypothesis.assume(torch.Size(shape).numel() <= 10**6)
        value = data.draw(st.sampled_from([0.0, 1.0, -1e8, 1e9, 1e10, 1e30, float("nan"), float("inf")]))
        kinds = st.one_of(st.just(torch.float32), st.sampled_from(DTYPES))
        tensors[name] = torch.full(shape, value, dtype=torch.float64).to(data.draw(kinds))
    file = folder / f"head-{variant}.safetensors"
    write_checkpoint(dataclasses.replace(checkpoint, tensors=tensors), file)
    check(file, use)


@pytest.mark.parametrize("size", [10**9, 10**15, 2**62])
@pytest.mark.parametrize("name", ["head_prior", "head.features", "vocabulary"])
def test_sizes_without_values(whole, folder, name, size):
    """A tensor without values may have a side of any length."""
    file = folder / "sizes.safetensors"
    end = max(entry["data_offsets"][1] for key, entry in whole.header.items() if key != "__metadata__")
    kind = "I64" if name == "vocabulary" else "F32"
    entry = {"dtype": kind, "shape": [0, size], "data_offsets": [end, end]}
    header = {key: value for key, value in whole.header.items() if key != name}
    old = {"unused": whole.header[name]} if name in whole.header else {}
    text = json.dumps({**header, **old, name: entry}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + whole.data)
    assert name in check(file, use)[0]


@hypothesis.given(
    interval=variations({"level": 0.9, "half_width": 0.25}),
    low=NUMBERS,
    high=NUMBERS,
    shown_range=st.one_of(st.none(), st.tuples(st.floats(), st.floats())),
)
def test_scales_and_intervals(whole, folder, interval, low, high, shown_range):
    """Predicted MOS and its interval are finite numbers in order, whatever a file or a caller says."""
    file = folder / "interval.safetensors"
    info = {**INFO, "interval": interval, "mos_scale": {**INFO["mos_scale"], "low": low, "high": high}}
    whole.write(file, info=json.dumps(info))

    def predict(file):
        picture = np.full((40, 50, 3), 90, np.uint8)
        wrong_range = shown_range is not None and not shown_range[0] < shown_range[1]
        try:
            found = grmp.score(
                [picture], model=str(file), scale="mos", mos_range=shown_range, interval=True, device="cpu"
            )
        except InputError:  # of the arguments, which no file is named for
            if not (wrong_range or shown_range or interval is None):
                raise
            return
        assert not wrong_range
        (row,) = found.rows
        assert math.isfinite(row["low"])
        assert row["low"] <= row["score"] <= row["high"] < math.inf

    check(file, predict)


def test_texts_of_a_checkpoint_are_shown_as_they_are(whole, folder):
    """Neither markup of rich nor its emoji, and escape sequences escaped."""
    file = folder / "words.safetensors"
    whole.write(file, info=json.dumps({"[red]name[/]": "[bold]x[/bold] :b: \x1b[31m\x07 [link=http://a]"}))
    for form in ("table", "csv", "jsonl", "json"):
        shown = CliRunner().invoke(app, ["models", "info", str(file), "--format", form])
        assert shown.exit_code == 0
        assert "[red]name[/]" in shown.output
        assert "[bold]x[/bold] :b: " in shown.output
        assert "[link=http://a]" in shown.output
        assert "\x1b" not in shown.output
        assert "\x07" not in shown.output


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarms")
def test_what_waits_fails_and_does_not_hang(folder, monkeypatch):
    """Else a file that makes a program wait would stop these tests for ever."""
    monkeypatch.setattr(hostile_values, "MOST_SECONDS", 0.1)
    with pytest.raises(AssertionError, match="still waits"):
        check(folder / "any", lambda file: time.sleep(60))


def test_an_unchanged_file_is_accepted(whole, folder):
    """Else the tests above could pass because everything is refused."""
    file = folder / "unchanged.safetensors"
    whole.write(file, config=json.dumps(CONFIG), info=json.dumps(INFO))
    use(file)
    with safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["config"]) == CONFIG
    (folder / "good.yml").write_text(yaml.dump(TRAINING))
    read_config(AdaptConfig, folder / "good.yml")
