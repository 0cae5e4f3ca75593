"""Scoring with a complete checkpoint leaves alone whatever takes seconds to import, torch excepted."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from packaging.version import Version
from PIL import Image

from grmp_plugin.network.checkpoint import write_checkpoint
from grmp_plugin.network.models import find_checkpoint

HEAVY = (
    *("open_clip", "transformers", "torchvision", "timm", "pyiqa", "huggingface_hub", "ftfy"),
    *("scipy", "pyarrow", "pandas", "torch._dynamo"),
    # Older ones import these themselves for whatever is on the meta device.
    *(("sympy", "torch._inductor") if Version(torch.__version__) >= Version("2.14") else ()),
)
_SCORE = """
import json, sys
from grmp_cli.app import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps({"code": code, "modules": list(sys.modules)}))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)).save(path)
    return path


@pytest.fixture(params=["embedded", "adapted", "authors"])
def model(request, stand_in, tmp_path):
    """A complete checkpoint: a name, or a file."""
    if request.param == "embedded":
        return "grmp_iqa-tiny"
    if request.param == "authors":
        path = tmp_path / "authors.pt"
        torch.save(stand_in, path)
        return str(path)
    checkpoint = find_checkpoint("grmp_iqa-tiny-meta")
    path = tmp_path / "adapted.safetensors"
    scale = {"low": 0, "high": 100, "lower_better": False, "source": "declared"}
    write_checkpoint(dataclasses.replace(checkpoint, info={**checkpoint.info, "mos_scale": scale}), path)
    return str(path)


def imported(*arguments):
    """Names of the modules that `grmp score` has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", _SCORE, "score", *arguments, "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] in (0, None), done.stderr
    return set(found["modules"])


def test_heavy_packages_are_not_imported(model, image, tmp_path):
    out = tmp_path / "scores.json"
    modules = imported(image, "--model", model, "--out", out)
    (row,) = json.loads(out.read_text())["images"]
    assert 0 < row["score"] < 1
    assert [name for name in HEAVY if name in modules] == []
    assert "torch" in modules


def test_a_job_leaves_out_pandas(image, tmp_path):
    """Its 50 MB would come with the first part, in the middle of the work."""
    modules = imported(image, "--out", tmp_path / "scores")
    assert len(list((tmp_path / "scores").glob("part-*.parquet"))) == 1
    assert "pyarrow" in modules
    assert not {"pandas", "scipy", "open_clip"} & modules
