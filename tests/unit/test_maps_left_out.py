"""Quality maps and reports that a run wrote among the photographs are not scored by the next run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.data.map_mark import is_quality_map
from grmp_plugin.data.paths import find_paths
from grmp_plugin.errors import InputError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 256, (64, 80, 3)).astype(np.uint8)
        Image.fromarray(values).save(f"photos/{number}.png")
    # Somebody's own picture of that name is no map.
    Image.new("RGB", (64, 64)).save("photos/city.map.png")
    Path("photos/text.map.png").write_text("x")
    return ["photos/0.png", "photos/1.png", "photos/city.map.png", "photos/text.map.png"]


def test_maps_and_reports_are_not_scored_on_the_next_run(photos):
    first = grmp.score("photos", device="cpu")
    assert list(first.images) == photos
    assert first.left_out == {}
    assert "left_out" not in first.run.details
    maps = first.draw_maps("photos")
    first.write("photos/scores.csv")
    first.report("photos/report.html", maps=maps)
    assert sorted(path.name for path in Path("photos").iterdir() if is_quality_map(str(path))) == [
        "0.map.png",
        "1.map.png",
        "city.map.map.png",
    ]

    second = grmp.score("photos", device="cpu")
    assert list(second.images) == photos
    assert second.left_out == {"quality map": 3}
    assert second.to_dict()["run"]["left_out"] == {"quality map": 3}
    second.report("report.html")
    assert "3 quality maps were left out." in Path("report.html").read_text(encoding="utf-8")
    # As a shell expands a pattern, and as we do.
    names = sorted(str(path) for path in Path("photos").glob("*.png"))
    assert find_paths(names).paths == photos
    assert find_paths(["photos/*.png"]).left_out == {"quality map": 3}
    with pytest.raises(InputError, match="1 quality map was left out"):
        find_paths(["photos/0.map.png"])


def test_a_missing_map_stays_an_entry(photos):
    assert find_paths(["gone.map.png"]).paths == ["gone.map.png"]
