"""No file that a result writes replaces what its run read: images, ratings, references, models."""

import numpy as np
import pandas
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.errors import InputError
from grmp_plugin.network.checkpoint import write_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_checkpoint):
    """`photos/` of twelve images, `original.png`, `ratings.csv`, `model.safetensors` and `short.yml`."""
    folder = tmp_path_factory.mktemp("read")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        pixels = rng.integers(0, 20 * number + 30, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
        rows.append((f"photos/{number}.png", 5 - 0.3 * number))
    Image.fromarray(np.full((40, 48, 3), 90, np.uint8)).save(folder / "original.png")
    pandas.DataFrame(rows, columns=["image", "mos"]).to_csv(folder / "ratings.csv", index=False)
    write_checkpoint(small_checkpoint(), folder / "model.safetensors")
    (folder / "short.yml").write_text("training: {method: prompts, shots: 4, epochs: 1}\n")
    (folder / "meta.yml").write_text("training: {outer_steps: 1, tasks_per_step: 1, images_per_task: 4}\n")
    return folder


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    """A result of each call."""
    model = folder / "model.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        compared = grmp.compare(folder / "ratings.csv", ["psnr", model], references=folder / "original.png")
    return {
        "score": grmp.score(folder / "photos", model),
        "compare": compared,
        "image scores": compared.image_scores(),
        "adapt": grmp.adapt(folder / "ratings.csv", model=model, config=folder / "short.yml", device="cpu"),
        "pretrain": grmp.pretrain("drawn", model=model, config=folder / "meta.yml", device="cpu"),
    }


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("score", "photos/3.png"),
        ("score", "model.safetensors"),
        ("compare", "ratings.csv"),
        ("compare", "photos/3.png"),
        ("compare", "original.png"),
        ("compare", "model.safetensors"),
        ("image scores", "ratings.csv"),
        ("image scores", "original.png"),
        ("adapt", "ratings.csv"),
        ("adapt", "photos/3.png"),
        ("adapt", "model.safetensors"),
        ("pretrain", "model.safetensors"),
    ],
)
def test_outputs_do_not_replace_inputs(results, folder, tmp_path, name, read):
    result, source = results[name], folder / read
    before = source.read_bytes()
    # An output has an extension of its own, so that only a link leads to most inputs.
    writers = {"link.csv": result.write}
    if hasattr(result, "report"):
        writers["link.html"] = result.report
    if hasattr(result, "save"):
        writers["link.safetensors"] = result.save
    for link, write in writers.items():
        (tmp_path / link).symlink_to(source)
        with pytest.raises(InputError, match="is the input") as caught:
            write(tmp_path / link)
        assert caught.value.argument == "path"
    assert source.read_bytes() == before
    for free, write in writers.items():
        assert write(tmp_path / f"free-{free}").is_file()


def test_maps_do_not_replace_images(results, folder, tmp_path):
    taken = tmp_path / "a.map.png"
    taken.write_bytes((folder / "photos" / "3.png").read_bytes())
    (tmp_path / "a.png").write_bytes((folder / "photos" / "4.png").read_bytes())
    before = taken.read_bytes()
    found = grmp.score(tmp_path, folder / "model.safetensors")
    assert len(found) == 2
    with pytest.raises(InputError, match=r"a\.map\.png is the input .*; name another folder"):
        found.draw_maps(tmp_path)
    assert taken.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
    assert all(one.path for one in found.draw_maps(tmp_path / "maps"))
