"""Which pictures are rated: readable ones, near-duplicates left out, by a strategy or a list."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.api.label import open_labelling
from grmp_plugin.api.label_pictures import STRATEGIES as NAMES
from grmp_plugin.errors import InputError
from grmp_plugin.labelling.near_duplicates import Distinct, thumbprint
from grmp_plugin.labelling.pool import Pool, read_pool
from grmp_plugin.labelling.reading import LeftOut, read_some
from grmp_plugin.labelling.selection import STRATEGIES, choose
from grmp_plugin.progress import Progress


def _scene(seed: int, shift: int = 0, light: float = 1.0) -> np.ndarray:
    """A smooth random picture, (180, 240, 3), moved by some pixels and lit differently."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    large = np.asarray(small.resize((260, 200), Image.Resampling.BICUBIC), np.float64)
    cut = large[shift : shift + 180, shift : shift + 240] * light
    return np.clip(cut + rng.normal(0, 3, cut.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 different photographs, a burst of 3 of the first, and 2 broken files."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(12):
        Image.fromarray(_scene(seed)).save(photos / f"{seed}.jpg", quality=95)
    for frame in (1, 2, 3):
        Image.fromarray(_scene(0, shift=frame, light=1 - 0.02 * frame)).save(photos / f"burst{frame}.jpg")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (photos / "empty.png").write_bytes(b"")
    return photos


def _pool(count: int, dimensions: int = 8) -> Pool:
    """Pictures in four tight clusters of different size, with scores independent of them."""
    rng = np.random.default_rng(0)
    centres = np.eye(4, dimensions)
    which = np.repeat([0, 0, 0, 1, 1, 2, 3, 0, 1, 0], count // 10 + 1)[:count]
    features = centres[which] + rng.normal(0, 0.02, (count, dimensions))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return Pool(tuple(map(str, range(count))), features, rng.permutation(count) / count, LeftOut())


def test_frames_of_a_burst_are_near_duplicates_and_other_photographs_are_not() -> None:
    distinct = Distinct()
    assert all(distinct.add(thumbprint(_scene(seed))) for seed in range(30))
    assert not any(distinct.add(thumbprint(_scene(seed, shift=3, light=0.95))) for seed in range(30))


def test_plain_pictures_do_not_divide_by_zero() -> None:
    distinct = Distinct()
    assert distinct.add(thumbprint(np.zeros((5, 7, 3), np.uint8)))
    assert distinct.add(thumbprint(np.full((5, 7, 3), 200, np.uint8)))


def test_reads_no_more_than_it_needs_and_names_what_it_cannot_read(folder: Path) -> None:
    paths = [
        str(folder / name) for name in ("broken.jpg", "0.jpg", "burst1.jpg", "1.jpg", "2.jpg", "gone.jpg")
    ]
    chosen, left_out = read_some(paths, 2)
    assert [Path(path).name for path in chosen] == ["0.jpg", "1.jpg"]
    assert [Path(path).name for path, _ in left_out.unreadable] == ["broken.jpg"]
    assert [Path(path).name for path in left_out.near_duplicates] == ["burst1.jpg"]
    chosen, left_out = read_some([str(folder / "burst2.jpg"), str(folder / "3.jpg")], 9, known=[paths[1]])
    assert [Path(path).name for path in chosen] == ["3.jpg"]


def test_the_pool_has_features_and_scores_of_the_network(folder: Path, small_network) -> None:
    seen: list[Progress] = []
    network = small_network("vit", "crops")
    pool = read_pool([str(path) for path in sorted(folder.iterdir())], network, seen.append)
    assert len(pool.paths) == 12
    assert len(pool.left_out.near_duplicates) == 3
    assert {Path(path).name for path, _ in pool.left_out.unreadable} == {"broken.jpg", "empty.png"}
    np.testing.assert_allclose(np.linalg.norm(pool.features, axis=1), 1, atol=1e-6)
    from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions

    scored = [row.score for row in Scorer(network, ScoringOptions(device="cpu")).score(pool.paths)]
    np.testing.assert_allclose(pool.scores, scored, atol=1e-5)
    assert seen[-1] == Progress("looking at pictures", 17, 17)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_chooses_as_many_as_wanted_each_once(name: str) -> None:
    pool = _pool(60)
    first = choose(name, pool, 12, (), np.random.default_rng(1))
    assert len(set(first)) == 12
    assert first == choose(name, pool, 12, (), np.random.default_rng(1))
    more = choose(name, pool, 12, first, np.random.default_rng(2))
    assert len(set(more)) == 12
    assert not set(more) & set(first)
    everything = choose(name, pool, 1000, first, np.random.default_rng(3))
    assert sorted([*first, *everything]) == list(range(60))
    assert choose(name, pool, 5, range(60), np.random.default_rng(3)) == []


def test_clusters_gives_a_typical_member_of_each() -> None:
    pool = _pool(60)
    chosen = choose("clusters", pool, 4, (), np.random.default_rng(0))
    assert sorted(np.argmax(pool.features[chosen], axis=1)) == [0, 1, 2, 3]
    for index in chosen:
        mates = pool.features[np.argmax(pool.features, axis=1) == np.argmax(pool.features[index])]
        distances = np.linalg.norm(mates - mates.mean(axis=0), axis=1)
        own = np.linalg.norm(pool.features[index] - mates.mean(axis=0))
        assert own <= np.median(distances)


def test_spread_and_both_cover_the_predicted_quality() -> None:
    pool = _pool(100)
    spread = choose("spread", pool, 10, (), np.random.default_rng(0))
    assert sorted(int(pool.scores[index] * 10) for index in spread) == list(range(10))
    both = choose("both", pool, 10, (), np.random.default_rng(0))
    assert sorted(int(pool.scores[index] * 5) for index in both) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    more = choose("spread", pool, 10, spread, np.random.default_rng(1))
    assert sorted(int(pool.scores[index] * 20) for index in [*spread, *more]) == list(range(20))


def test_api_and_library_name_the_same_strategies() -> None:
    assert set(NAMES) == set(STRATEGIES)


@pytest.mark.parametrize("strategy", ["random", "both"])
def test_a_session_of_a_folder(folder: Path, tmp_path: Path, strategy: str) -> None:
    out = tmp_path / "ratings.csv"
    with open_labelling(str(folder), out, count=6, strategy=strategy) as labelling:
        first = set(labelling.store.pictures().values())
        assert len(first) == 6
        assert not labelling.resumed
    with open_labelling(str(folder), out, more=4, strategy=strategy) as labelling:
        assert labelling.resumed
        assert labelling.added == 4
        pictures = labelling.store.pictures().values()
        assert len(set(pictures)) == len(pictures) == 10
        assert first < set(pictures)
        burst = [
            path
            for path in pictures
            if Path(path).name in ("0.jpg", "burst1.jpg", "burst2.jpg", "burst3.jpg")
        ]
        assert len(burst) <= 1
        assert not any("broken" in path or "empty" in path for path in pictures)
    with open_labelling(None, out) as labelling:
        assert len(labelling.store.pictures()) == 10
        assert labelling.remarks == ()


def test_too_few_pictures_are_said_so(folder: Path, tmp_path: Path) -> None:
    with open_labelling(str(folder), tmp_path / "r.csv", count=50) as labelling:
        assert len(labelling.store.pictures()) == 12
        assert labelling.remarks[0] == "only 12 pictures can be rated, 50 were wanted"
        assert any("broken.jpg: " in remark for remark in labelling.remarks)
        assert "3 near-duplicates of other pictures left out" in labelling.remarks


def test_a_list_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    listed = folder / "chosen.txt"
    listed.write_text("burst1.jpg\n0.jpg\n\nburst2.jpg\nbroken.jpg\n0.jpg\n", encoding="utf-8")
    with open_labelling(None, tmp_path / "r.csv", listed=listed) as labelling:
        names = [Path(path).name for path in labelling.store.pictures().values()]
        assert names == ["burst1.jpg", "0.jpg", "burst2.jpg"]
        assert any("broken.jpg: " in remark for remark in labelling.remarks)


def test_mistakes_are_errors_that_name_the_argument(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    wrong = [
        ("strategy", {"strategy": "best"}),
        ("count", {"count": 1}),
        ("more", {"more": -1}),
        ("listed", {"listed": "chosen.txt"}),
    ]
    for argument, options in wrong:
        with pytest.raises(InputError) as caught, open_labelling(str(folder), out, **options):
            pass
        assert caught.value.argument == argument
    for images, path, argument in ((None, out, "images"), (str(folder), tmp_path / "r.xlsx", "out")):
        with pytest.raises(InputError) as caught, open_labelling(images, path):
            pass
        assert caught.value.argument == argument
    with pytest.raises(InputError, match="files, not arrays"), open_labelling(_scene(0), out):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_a_session_is_not_begun_over_other_ratings_nor_run_twice(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    out.write_text("image,mos\n")
    with pytest.raises(InputError, match="exists, but not its session"), open_labelling(str(folder), out):
        pass
    out.unlink()
    with (
        open_labelling(str(folder), out),
        pytest.raises(InputError, match="another process"),
        open_labelling(None, out),
    ):
        pass
    with pytest.raises(InputError, match="rated one by one"), open_labelling(None, out, pairs=True):
        pass
    (tmp_path / "r.session.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="not a rating session"), open_labelling(None, out):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in names")
def test_a_name_that_no_ratings_file_can_hold_is_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "1.jpg").rename(folder / os.fsdecode(b"caf\xe9.jpg"))
    with open_labelling(str(folder), tmp_path / "r.csv") as labelling:
        assert len(labelling.store.pictures()) == 11
        assert any("not valid Unicode" in remark for remark in labelling.remarks)


def test_many_pictures_are_kept_apart() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (16, 17, 3), dtype=np.uint8) for _ in range(300)]
    distinct = Distinct()
    assert all(distinct.add(thumbprint(pixels)) for pixels in pictures)
    assert not any(distinct.add(thumbprint(pixels)) for pixels in pictures)
