"""Pseudo-MOS: its components against other implementations, and properties that any label must have."""

import contextlib
import sys

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from skimage.metrics import structural_similarity

from grmp_plugin.errors import ImageError
from grmp_plugin.synthetic import pseudo_mos as module
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos


@pytest.fixture(scope="module")
def photograph():
    return skimage.data.astronaut()[100:356, 120:376]


def luma(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 0].astype(np.float32)


def test_unchanged_image_has_one(photograph):
    assert pseudo_mos(photograph, photograph) == 1


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_falls_with_level(photograph, kind):
    values = [pseudo_mos(photograph, distort(photograph, kind, level, 3)) for level in (1, 3, 5)]
    assert 1 > values[0] > values[1] > values[2] > 0


def test_gradient_deviation_agrees_with_pyiqa(photograph):
    with contextlib.redirect_stdout(sys.stderr):
        import pyiqa

        gmsd = pyiqa.create_metric("gmsd", device="cpu")
    ours, theirs = [], []
    for kind in DISTORTIONS:
        image = distort(photograph, kind, 3, 0)
        tensors = [torch.from_numpy(x.copy()).permute(2, 0, 1)[None] / 255 for x in (image, photograph)]
        theirs.append(gmsd(*tensors).item())
        ours.append(module.gradient_deviation(luma(photograph), luma(image)))
    # The two differ in borders and in the rounding of luma.
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert np.allclose(ours, theirs, atol=0.02)


def test_structure_agrees_with_scikit_image(photograph, monkeypatch):
    """At a single scale, where MS-SSIM is SSIM."""
    monkeypatch.setattr(module, "_SCALE_WEIGHTS", np.array([1.0]))
    first = luma(photograph)
    for kind in ("gaussian_blur", "white_noise", "jpeg", "haze"):
        second = luma(distort(photograph, kind, 3, 0))
        _, theirs = structural_similarity(
            first,
            second,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        # Ours averages contrast-structure and luminance separately, as in MS-SSIM.
        assert module.structure(first, second) == pytest.approx(theirs.mean(), abs=0.02)


def test_chroma_sees_what_luma_does_not(photograph):
    grey = distort(photograph, "saturation_decrease", 5, 0)
    assert module.structure(luma(photograph), luma(grey)) > 0.99
    assert pseudo_mos(photograph, grey) < 0.8


def test_errors(photograph):
    with pytest.raises(ImageError, match="one shape"):
        pseudo_mos(photograph, photograph[:-1])
    with pytest.raises(ImageError, match="96 x 96"):
        pseudo_mos(photograph[:50], photograph[:50])
