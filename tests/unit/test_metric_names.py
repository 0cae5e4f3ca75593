"""Metrics by name, group, wildcard and file."""

import pytest

from grmp_plugin.errors import InputError
from grmp_plugin.evaluation.metric_names import MetricSpec, find_metrics


def names(*wanted, references=False):
    return [metric.name for metric in find_metrics(wanted, references=references).metrics]


def test_names_keep_their_order_and_count_once():
    assert names("piqe", "grmp_iqa-tiny", "piqe", "entropy") == ["piqe", "grmp_iqa-tiny", "entropy"]


def test_direction_and_kind_are_pyiqas():
    ssim, gmsd, piqe = find_metrics(["ssim", "gmsd", "piqe"], references=True).metrics
    assert [(m.reference, m.lower_better) for m in (ssim, gmsd, piqe)] == [
        (True, False),
        (True, True),
        (False, True),
    ]


def test_models_that_pyiqa_does_not_list_and_checkpoint_files_are_own(tmp_path):
    file = tmp_path / "mine.safetensors"
    file.touch()
    assert all(m.own for m in find_metrics(["grmp_iqa-tiny-meta", str(file)], references=False).metrics)


def test_groups():
    offline = find_metrics(["offline"], references=False)
    assert [m.name for m in offline.metrics] == ["grmp_iqa-tiny", "entropy", "piqe"]
    assert "ssim" in dict(offline.left_out)
    assert {"psnr", "mad", "vif"} < set(names("offline", references=True))
    assert "musiq" in names("nr")
    assert not set(names("nr", references=True)) & set(names("fr", references=True))


def test_sets_of_images_have_no_score_for_one():
    assert "fid" not in names("nr")
    with pytest.raises(InputError, match="whole sets"):
        names("fid")


def test_wildcards_work_as_in_pyiqa():
    import pyiqa

    assert names("*ssim*", references=True) == pyiqa.list_models(filter="*ssim*")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["pique"], "Did you mean 'piqe'"),
        (["no*such"], "matches no metric's name"),
        (["gone.safetensors"], "no such checkpoint file"),
        (["folder/gone"], "no such checkpoint file"),
        (["ssim"], r"metrics: ssim: full-reference metrics need reference images \(see references\)"),
        (["*ssim*"], "nothing to compare: full-reference metrics need reference images"),
        ([], "no metrics were named"),
    ],
)
def test_mistakes(wanted, message):
    with pytest.raises(InputError, match=message) as caught:
        names(*wanted)
    assert caught.value.argument == "metrics"


def test_metrics_that_were_found_before_keep_their_place():
    mine = MetricSpec("mine", own=True)
    assert names("piqe", mine, "entropy") == ["piqe", "mine", "entropy"]
