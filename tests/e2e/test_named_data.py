"""pyiqa's own data sets, through its own classes, from stand-ins on disk; nothing reaches the network."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

CONFIGS = Path(__file__).parents[2] / "configs" / "paper"
OFFLINE = {"HF_HUB_OFFLINE": "1"}
SPLITS = ("train", "train", "train", "val", "test")


def noise(side, amount, seed):
    """A smooth picture under noise; the more of it, the worse."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0 : side + 8] / side
    smooth = 120 + 60 * np.sin(5 * rows + seed)[..., None] * np.cos(4 * columns)[..., None] * rng.random(3)
    return (smooth + amount * rng.standard_normal((*rows.shape, 3))).clip(0, 255).astype(np.uint8)


class StandIns:
    """Small data sets in the places where pyiqa keeps the real ones.

    Attributes:
        root: the folder of all data sets.
        rows: data set -> rows of its list, which have the columns of the real ones.
    """

    def __init__(self, root):
        self.root = root
        self.rows = {}
        (root / "meta_info").mkdir(parents=True)

    def add(self, name, listed, folder, columns, rows):
        """Write a list and its images, (image's name, MOS) at the place of `dist_name` or `img_name`."""
        at = next(i for i, column in enumerate(columns) if column in ("img_name", "dist_name"))
        for number, row in enumerate(rows):
            path = self.root / folder / row[at]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(64, 3 * number, number)).save(path)
        with open(self.root / "meta_info" / f"meta_info_{listed}Dataset.csv", "w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        self.rows[name] = rows

    def synthetic(self, name, listed, folder, pattern, levels, distortions=3):
        """A full-reference data set of two references, whose MOS falls with the level."""
        rows = []
        for reference in (1, 2):
            for distortion in range(1, distortions + 1):
                for level in range(1, levels + 1):
                    mos = 5 - 0.7 * level - 0.1 * distortion + 0.05 * reference
                    image = pattern.format(reference, distortion, level)
                    rows.append((f"{image[:3]}{image[-4:]}", image, round(mos, 3), 0.1))
        self.add(name, listed, folder, ("ref_name", "dist_name", "mos", "std"), rows)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """LIVE Challenge, KonIQ-10k, KADID-10k, TID2013 and CSIQ."""
    made = StandIns(tmp_path_factory.mktemp("stand-ins") / "my datasets")
    split = "ratio802_seed123_split_01"
    livec = [f"Images/trainingImages/t{n}.bmp" for n in range(1, 8)] + [
        f"Images/{n}.bmp" for n in range(1, 34)
    ]
    made.add(
        *("livec", "LIVEChallenge", "LIVEC", ("img_name", "mos", "std", split)),
        [(image, 80 - 1.7 * n, 18.0, SPLITS[n % 5]) for n, image in enumerate(livec)],
    )
    made.add(
        *("koniq10k", "KonIQ10k", "koniq10k/512x384", ("img_name", "mos", "std", split, "official_split")),
        [(f"{10 * n}.jpg", 75 - 1.5 * n, 0.5, SPLITS[(n + 1) % 5], SPLITS[n % 5]) for n in range(40)],
    )
    made.synthetic("kadid10k", "KADID10k", "kadid10k/images", "I{:02d}_{:02d}_{:02d}.png", levels=4)
    made.synthetic("tid2013", "TID2013", "tid2013/distorted_images", "i{:02d}_{:02d}_{}.bmp", levels=3)
    csiq = [
        (f"{name}.png", f"{kind}/{name}.{kind}.{level}.png", 0.15 * level + 0.01 * len(kind), 0.1)
        for name in ("1600", "boston")
        for kind in ("AWGN", "BLUR", "contrast")
        for level in (1, 2, 3, 4, 5)
    ]
    made.add("csiq", "CSIQ", "CSIQ/dst_imgs", ("ref_name", "dist_name", "dmos", "std"), csiq)
    return made


# --- reading them -----------------------------------------------------------------------

# All in one process: `import pyiqa` alone takes seconds, and one reading must not change the next.
_READ = """
import contextlib, io, time
from pathlib import Path
from grmp_plugin.errors import GRMPError
from grmp_plugin.training.named_data import data_set_names, named_ratings

root = Path(sys.argv[1])
spoken = io.StringIO()

def read(name, **options):
    with contextlib.redirect_stdout(spoken):
        ratings = named_ratings(name, root, **options)
    return {
        "source": ratings.source, "images": list(ratings.images), "mos": ratings.mos.tolist(),
        "kind": ratings.mos.dtype.name, "references": ratings.references and list(ratings.references),
        "references_source": ratings.references_source, "lower_better": ratings.lower_better,
        "mos_range": ratings.mos_range, "range_source": ratings.range_source,
        "adjustable": sorted(ratings.adjustable),
        "splits": {name: list(values) for name, values in ratings.splits.items()},
    }

def failure(name, folder=root, **options):
    started = time.monotonic()
    try:
        named_ratings(name, folder, **options)
    except GRMPError as error:
        return [type(error).__name__, str(error), time.monotonic() - started]

names = ("livec", "livec-1169", "koniq10k", "kadid10k", "tid2013", "csiq")
result["read"] = {name: read(name) for name in names}
result["again"] = {name: read(name) for name in reversed(names)}
result["the same direction"] = read("csiq", lower_better=True)
result["names"] = data_set_names()
result["spoken"] = spoken.getvalue()

(root / "LIVEC" / "Images" / "3.bmp").rename(root / "LIVEC" / "Images" / "away.bmp")
(root / "meta_info" / "meta_info_CSIQDataset.csv").rename(root / "meta_info" / "away.csv")
(root / "koniq10k").rename(root / "away")
result["failures"] = {
    "near": failure("koniq10"),
    "far": failure("qqqqqq"),
    "choices": failure("bapps"),
    "one image": failure("livec"),
    "no list": failure("csiq"),
    "no images": failure("koniq10k"),
    "nothing": failure("spaq"),
    "another direction": failure("kadid10k", lower_better=True),
    "other folder": failure("tid2013", root / "elsewhere"),
}
(root / "LIVEC" / "Images" / "away.bmp").rename(root / "LIVEC" / "Images" / "3.bmp")
(root / "meta_info" / "away.csv").rename(root / "meta_info" / "meta_info_CSIQDataset.csv")
(root / "away").rename(root / "koniq10k")
"""

# --- training on them ---------------------------------------------------------------------


def reduced(folder, name, training, **changes):
    """A preset, shortened."""
    with open(CONFIGS / f"{name}.yml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    for part, values in ((config, changes), (config["training"], training)):
        assert values.keys() <= part.keys()  # the keys exist in the preset
        part.update(values)
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def read(installed, stand_ins):
    """What `_READ` found; it moves files for a while, so nothing else runs beside it."""
    return installed.python(_READ, stand_ins.root, **OFFLINE)


@pytest.fixture(scope="module")
def runs(installed, stand_ins, read, pairs, tmp_path_factory):
    """Both of the paper's adaptations, and its pre-training."""
    folder = tmp_path_factory.mktemp("configs")

    def adapt(name):
        config = reduced(folder, name, {"epochs": 6}, splits=2)
        options = ("--model", "grmp_iqa-tiny", "--shots", "6", "--device", "cpu", "--format", "json")
        return installed.run(
            *("grmp", "adapt", "--config", config, "--data-root", stand_ins.root, *options), **OFFLINE
        )

    def pretrain():
        short = {"outer_steps": 2, "tasks_per_step": 2, "support_batch": 3, "query_batch": 2}
        config = reduced(folder, "pretrain", short, model="grmp_iqa-tiny")
        out = folder / "prompts.safetensors"
        options = ("--out", out, "--device", "cpu", "--format", "json")
        return installed.run(
            *("grmp", "pretrain", "--config", config, "--data-root", stand_ins.root, *options), **OFFLINE
        )

    done = pairs(lambda: adapt("livec"), lambda: adapt("koniq"), pretrain)
    return {**dict(zip(("livec", "koniq", "pretrain"), done, strict=True)), "folder": folder}


def paths(stand_ins, name, folder, column):
    return [str(stand_ins.root / folder / row[column]) for row in stand_ins.rows[name]]


def test_live_challenge_without_its_first_seven(read, stand_ins):
    found, rows = read["read"]["livec"], stand_ins.rows["livec"][7:]
    assert found["images"] == paths(stand_ins, "livec", "LIVEC", 0)[7:]
    assert found["mos"] == [row[1] for row in rows]
    assert found["splits"] == {"ratio802_seed123_split_01": [row[3] for row in rows]}
    assert found["source"] == "livec"
    assert found["kind"] == "float64"


def test_live_challenge_with_all(read, stand_ins):
    found, rows = read["read"]["livec-1169"], stand_ins.rows["livec"]
    assert len(found["images"]) == 40
    assert found["images"] == paths(stand_ins, "livec", "LIVEC", 0)
    assert found["mos"] == [row[1] for row in rows]
    assert found["splits"] == {"ratio802_seed123_split_01": [row[3] for row in rows]}
    assert found["source"] == "livec-1169"


def test_koniq_is_read_whole_with_both_splits(read, stand_ins):
    found, rows = read["read"]["koniq10k"], stand_ins.rows["koniq10k"]
    # pyiqa's own settings would give the test images only.
    assert found["images"] == paths(stand_ins, "koniq10k", "koniq10k/512x384", 0)
    assert found["mos"] == [row[1] for row in rows]
    assert found["splits"] == {
        "ratio802_seed123_split_01": [row[3] for row in rows],
        "official_split": [row[4] for row in rows],
    }


@pytest.mark.parametrize("name", ["livec", "livec-1169", "koniq10k"])
def test_authentic_data_sets(read, name):
    found = read["read"][name]
    assert found["references"] is None
    assert found["references_source"] == ""
    assert found["lower_better"] is False
    assert found["mos_range"] == [1, 100]
    assert found["range_source"] == "known range of the data set"
    assert found["adjustable"] == []


@pytest.mark.parametrize(
    ("name", "folder", "references", "mos_range", "lower_better"),
    [
        ("kadid10k", "kadid10k/images", 2, [1, 5], False),
        ("tid2013", "tid2013/distorted_images", 2, [0, 9], False),
        ("csiq", "CSIQ/dst_imgs", 2, [0, 1], True),
    ],
)
def test_synthetic_data_sets(read, stand_ins, name, folder, references, mos_range, lower_better):
    found, rows = read["read"][name], stand_ins.rows[name]
    assert found["images"] == paths(stand_ins, name, folder, 1)  # the distorted ones, not the references
    assert found["mos"] == [row[2] for row in rows]  # on their own scale and in their own direction
    assert found["mos_range"] == mos_range
    assert found["lower_better"] is lower_better
    assert len(set(found["references"])) == references
    groups = dict(zip([row[0] for row in rows], found["references"], strict=True))
    assert found["references"] == [groups[row[0]] for row in rows]
    assert found["references_source"] == "pyiqa's list of references"
    assert found["splits"] == {}


def test_one_reading_does_not_change_the_next(read):
    assert read["again"] == read["read"]


def test_a_direction_that_pyiqa_knows_may_be_given(read):
    assert read["the same direction"] == read["read"]["csiq"]


def test_a_direction_that_contradicts_pyiqa_is_refused(read):
    kind, message, _ = read["failures"]["another direction"]
    assert kind == "InputError"
    assert "kadid10k: in this data set a high rating means good quality" in message


def test_stdout_is_left_to_data(read):
    assert read["spoken"] == ""


def test_names(read):
    assert {"livec", "livec-1169", "koniq10k", "kadid10k", "tid2013", "csiq", "spaq"} <= set(read["names"])
    assert not {"bapps", "pieapp"} & set(read["names"])  # they have no rating for each image
    assert read["names"] == sorted(read["names"])


@pytest.mark.parametrize(
    ("case", "kind", "said"),
    [
        ("near", "InputError", ("'koniq10'", "Did you mean 'koniq10k'?")),
        ("far", "InputError", ("'qqqqqq'", "livec-1169")),
        ("choices", "InputError", ("'bapps'",)),
        ("one image", "InputError", ("livec: 1 of 33 images are missing", "3.bmp", "data_root")),
        ("no list", "DataUnavailableError", ("'csiq'", "meta_info_CSIQDataset.csv", "HF_HUB_OFFLINE")),
        ("no images", "DataUnavailableError", ("'koniq10k'", "512x384", "HF_HUB_OFFLINE", "data_root")),
        ("nothing", "DataUnavailableError", ("'spaq'", "meta_info_SPAQDataset.csv", "TestImage")),
        ("other folder", "DataUnavailableError", ("'tid2013'", "elsewhere", "data_root")),
    ],
)
def test_unavailable_data_sets(read, case, kind, said):
    found, message, seconds = read["failures"][case]
    assert found == kind, message
    for words in said:
        assert words in message
    assert seconds < 5  # no waiting for the hub


@pytest.mark.parametrize(("name", "images"), [("livec", 40), ("koniq", 40)])
def test_the_papers_adaptation(runs, name, images):
    done = runs[name]
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    run = document["run"]
    assert run["data"] == {"livec": "livec-1169", "koniq": "koniq10k"}[name]
    assert run["images"] == images
    assert run["model"] == "grmp_iqa-tiny"
    settings = {"protocol": "released", "shots": 6, "epochs": 6, "test_share": 0.2, "strength": 5}
    assert settings.items() <= run["settings"].items()
    assert [split["seed"] for split in document["splits"]] == [0, 1]
    for split in document["splits"]:
        assert split["shots"] == 6
        for when in ("before", "after"):
            assert split[when]["images"] == 8  # a fifth
            assert -1 <= split[when]["srcc"] <= 1
        # The best of what was measured on the test images, at the start and after five epochs.
        assert split["best_epoch"] in (0, 5)
        together = [sum(split[when][key] for key in ("srcc", "plcc")) for when in ("before", "after")]
        assert (split["moved"] > 0) == (split["best_epoch"] == 5) == (together[1] > together[0])
        # As the released code does it: not pyiqa's range.
        assert split["mos_scale"]["source"] == "the shots' min and max"
        assert split["mos_scale"]["low"] > 1
        assert split["skipped_steps"] == 0
    assert document["splits"][0]["mos_scale"] != document["splits"][1]["mos_scale"]
    for when in ("before", "after"):  # the median of two is their mean
        both = [split[when]["srcc"] for split in document["splits"]]
        assert document[when]["srcc"] == pytest.approx(sum(both) / 2)


@pytest.mark.parametrize("name", ["livec", "koniq"])
def test_the_papers_adaptation_is_called_optimistic(runs, name):
    done = runs[name]
    assert "optimistic" in done.stderr
    assert "--protocol own" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_papers_pretraining(runs):
    from grmp_plugin.network.checkpoint import read_checkpoint
    from grmp_plugin.network.start import starting_checkpoint, with_new_prompts

    done = runs["pretrain"]
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["run"]["data"] == ["tid2013", "kadid10k"]
    assert document["run"]["settings"]["protocol"] == "released"
    assert document["prompts"]["data"] == ["tid2013", "kadid10k"]
    assert document["prompts"]["distortions"] == 6  # all three kinds of each
    checkpoint = read_checkpoint(runs["folder"] / "prompts.safetensors")
    assert checkpoint.info["stage"] == "pre-trained prompts"
    assert not (runs["folder"] / "prompts.safetensors.state").exists()
    start = with_new_prompts(starting_checkpoint("grmp_iqa-tiny", 0), 0)
    changed = {name for name, t in checkpoint.tensors.items() if not t.equal(start.tensors[name].to(t.dtype))}
    prompts = {name for name in start.tensors if name.startswith(("text_prompt.", "visual_prompts."))}
    assert "text_prompt.ctx" in changed
    assert changed <= prompts
    # Outer steps of 1% of some inner steps of 1e-4: small, but not zero.
    largest = max((checkpoint.tensors[name] - start.tensors[name]).abs().max().item() for name in changed)
    assert 1e-7 < largest < 1e-3
