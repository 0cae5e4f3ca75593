"""MOS, bias and inconsistency of raters, as the reference code of BT.500 and P.910 (Annex E) computes them.

tests/golden/data/subject_model.json has simulated ratings of 24 images (rows) by 15 raters, "-" where there
is none, and what the procedure of the reference code for ITU-R BT.500 (github.com/Netflix/sureal,
itur_bt500_demo) makes of them, rounded to 1e-6.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from grmp_plugin.labelling.subject_models import by_likelihood, screened_by_kurtosis

DATA = Path(__file__).parent / "data" / "subject_model.json"


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(DATA.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ratings(golden) -> np.ndarray:
    return np.array([[np.nan if one == "-" else float(one) for one in row] for row in golden["ratings"]])


def test_maximum_likelihood_is_that_of_the_reference_code(golden, ratings) -> None:
    found = by_likelihood(ratings)
    for name in ("mos", "bias", "inconsistency"):
        assert_allclose(getattr(found, name), golden[name], rtol=0, atol=2e-6, err_msg=name)


def test_who_answers_at_random_is_the_least_consistent_and_rejected(ratings) -> None:
    assert by_likelihood(ratings).inconsistency.argmax() == 4
    assert np.flatnonzero(screened_by_kurtosis(ratings)).tolist() == [4]
