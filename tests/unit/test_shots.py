"""Shots and test set: determined by the seed, of the right sizes, without a common reference."""

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.data.splits import SAMPLINGS, draw_split, rows_to_test
from grmp_plugin.errors import ConfigError, GRMPError, InputError
from grmp_plugin.training.settings import AdaptSettings


def rated(mos, references=None, **splits):
    mos = np.asarray(mos, np.float64)
    return Ratings(
        source="ratings.csv",
        images=tuple(f"{i}.png" for i in range(len(mos))),
        mos=mos,
        references=None if references is None else tuple(map(str, references)),
        splits={name: tuple(values) for name, values in splits.items()},
    )


def grouped(sizes, seed=0):
    """Images of as many references as there are sizes, in random order."""
    rng = np.random.default_rng(seed)
    references = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return rated(rng.normal(size=len(references)), references)


def check(split, count, shots):
    """Check what holds for every split."""
    for index in (split.shots, split.test):
        assert np.issubdtype(index.dtype, np.integer)
        assert (np.diff(index) > 0).all()
        assert index.min() >= 0
        assert index.max() < count
    assert len(split.shots) == shots
    assert len(split.test) >= 2
    assert not set(split.shots) & set(split.test)


def leaked(ratings, split):
    references = np.array(ratings.references)
    return set(references[split.shots]) & set(references[split.test])


def error_of(ratings, shots, seed=0, **options):
    with pytest.raises(InputError) as caught:
        draw_split(ratings, shots, seed, **options)
    return str(caught.value)


# --- independent images ---------------------------------------------------------------------------


def test_all_other_images_are_the_test():
    ratings = rated(np.arange(30.0))
    for seed in range(20):
        for shots in (2, 7, 28):
            split = draw_split(ratings, shots, seed)
            check(split, 30, shots)
            assert sorted([*split.shots, *split.test]) == list(range(30))


@pytest.mark.parametrize("references", [None, [i // 5 for i in range(60)]])
@pytest.mark.parametrize("options", [{}, {"test_share": 0.3}, {"column": "split"}])
def test_spread_shots_do_not_depend_on_ratings_of_the_test(references, options):
    """Whatever the test images are rated, the same shots are drawn."""
    rng = np.random.default_rng(0)
    mos, sides = rng.normal(size=60), ["train" if i % 10 < 5 else "test" for i in range(60)]
    for seed in range(10):
        before = draw_split(rated(mos, references, split=sides), 6, seed, sampling="spread", **options)
        changed = mos.copy()
        changed[before.test] = rng.normal(size=len(before.test)) * 100
        after = draw_split(rated(changed, references, split=sides), 6, seed, sampling="spread", **options)
        np.testing.assert_array_equal(before.shots, after.shots)
        np.testing.assert_array_equal(before.test, after.test)


def test_half_of_the_images_are_set_aside_before_shots_are_spread():
    split = draw_split(rated(np.arange(30.0)), 7, 0, sampling="spread")
    check(split, 30, 7)
    assert len(split.test) == 15


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("share", "tested"), [(0.2, 6), (0.15, 5), (0.5, 15), (0.05, 2), (0.9, 27)])
def test_a_share_of_the_images(sampling, share, tested):
    """0.15 of 30 is 4.5, rounded up."""
    ratings = rated(np.arange(30.0))
    for seed in range(10):
        split = draw_split(ratings, 3, seed, sampling=sampling, test_share=share)
        check(split, 30, 3)
        assert len(split.test) == tested


@pytest.mark.parametrize("references", [None, [i // 5 for i in range(60)]])
def test_the_test_set_of_a_share_does_not_depend_on_the_shots(references):
    ratings = rated(np.random.default_rng(0).normal(size=60), references)
    for seed in range(5):
        splits = [
            draw_split(ratings, shots, seed, sampling=sampling, test_share=0.3)
            for shots in (3, 20)
            for sampling in SAMPLINGS
        ]
        for split in splits[1:]:
            np.testing.assert_array_equal(split.test, splits[0].test)


def test_few_random_shots_are_part_of_more():
    ratings = rated(np.arange(100.0))
    for seed in range(10):
        few, more = (set(draw_split(ratings, shots, seed).shots) for shots in (10, 50))
        assert few < more


@pytest.mark.parametrize("options", [{}, {"test_share": 0.25}])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_image_is_drawn_equally_often(sampling, options):
    """Both samplings: strata of equal size leave every image the same chance."""
    count, shots, seeds = 20, 5, 1500
    ratings = rated(np.arange(count) % 7, None)
    drawn, tested = Counter(), Counter()
    for seed in range(seeds):
        split = draw_split(ratings, shots, seed, sampling=sampling, **options)
        drawn.update(split.shots.tolist())
        tested.update(split.test.tolist())
    for counter, chance in ((drawn, shots / count), (tested, len(split.test) / count)):
        deviation = 5 * np.sqrt(seeds * chance * (1 - chance))
        assert len(counter) == count
        assert all(abs(times - seeds * chance) < deviation for times in counter.values()), counter


# --- determinism ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("options", [{}, {"test_share": 0.3}, {"column": "split"}])
@pytest.mark.parametrize("with_references", [False, True])
def test_the_seed_decides(sampling, options, with_references):
    references = [i // 4 for i in range(80)] if with_references else None
    ratings = rated(np.arange(80) % 11, references, split=["train"] * 40 + ["test"] * 40)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state must not be touched
    seen = set()
    for seed in range(12):
        first, second = (draw_split(ratings, 9, seed, sampling=sampling, **options) for _ in range(2))
        np.testing.assert_array_equal(first.shots, second.shots)
        np.testing.assert_array_equal(first.test, second.test)
        seen.add(tuple(first.shots))
    assert len(seen) == 12
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_order_of_the_file_does_not_choose_the_references():
    ratings = grouped([3] * 10)
    backwards = ratings.subset(np.arange(30)[::-1])
    for seed in range(5):
        sides = [
            {each.references[i] for i in draw_split(each, 5, seed).test} for each in (ratings, backwards)
        ]
        assert sides[0] == sides[1]


def test_by_image_versions_of_a_reference_are_on_both_sides():
    """As in the authors' released code."""
    ratings = grouped([5] * 12)
    split = draw_split(ratings, 10, 0, test_share=0.2, split_by="image")
    check(split, 60, 10)
    assert len(split.test) == 12
    assert leaked(ratings, split)
    independent = draw_split(rated(ratings.mos), 10, 0, test_share=0.2)
    np.testing.assert_array_equal(split.shots, independent.shots)
    with pytest.raises(ConfigError, match="split_by image"):
        draw_split(rated(range(9), range(9), split=["train"] * 9), 3, 0, column="split", split_by="image")
    with pytest.raises(ConfigError, match="reference or image"):
        draw_split(ratings, 10, 0, split_by="scene")


def test_rows_for_testing():
    ratings = rated(range(4), split=["train", "test", "val", "test"], other_split=["train"] * 4)
    np.testing.assert_array_equal(rows_to_test(ratings, "split"), [1, 3])
    with pytest.raises(InputError, match="no 'test' rows; it has 4 x 'train'"):
        rows_to_test(ratings, "other_split")
    with pytest.raises(InputError, match="no split column 'gone'") as caught:
        rows_to_test(ratings, "gone")
    assert caught.value.argument == "split_column"


# --- spread ---------------------------------------------------------------------------------------


def spread_over(mos, shots, seed):
    """Shots spread over all of some ratings; two more images are the test set."""
    sides = ["train"] * len(mos) + ["test"] * 2
    ratings = rated([*mos, 0.0, 1.0], split=sides)
    return draw_split(ratings, shots, seed, sampling="spread", column="split").shots


@pytest.mark.parametrize(("count", "shots"), [(100, 10), (103, 10), (50, 48), (7, 2), (60, 60 - 2)])
def test_spread_takes_one_shot_of_each_part(count, shots):
    """An oracle by ranks: part sizes differ by at most one image."""
    rng = np.random.default_rng(count)
    mos = rng.permutation(count) ** 2.0
    ranks = np.sqrt(mos).astype(int)
    longer = count % shots
    ends = np.cumsum([count // shots + (part < longer) for part in range(shots)])
    for seed in range(20):
        parts = np.searchsorted(ends, ranks[spread_over(mos, shots, seed)], side="right")
        assert sorted(parts) == list(range(shots))


def test_spread_covers_the_range_better_than_random():
    mos = np.random.default_rng(0).beta(5, 2, 300)

    def coverage(draw):
        """Means over seeds: part of the range between the extreme shots, and of deciles that have a shot."""
        deciles = np.searchsorted(np.quantile(mos, np.linspace(0.1, 0.9, 9)), mos)
        span, hit = [], []
        for seed in range(100):
            shots = draw(mos, 10, seed)
            span.append(np.ptp(mos[shots]) / np.ptp(mos))
            hit.append(len(set(deciles[shots])) / 10)
        return np.mean(span), np.mean(hit)

    span, hit = coverage(spread_over)
    random_span, random_hit = coverage(lambda mos, shots, seed: draw_split(rated(mos), shots, seed).shots)
    assert hit == 1
    assert random_hit < 0.75
    assert span > random_span + 0.05


def test_spread_among_equal_ratings_is_left_to_chance():
    drawn = Counter()
    for seed in range(200):
        shots = spread_over([1.0] * 50 + [2.0] * 50, 10, seed)
        assert (shots < 50).sum() == 5
        drawn.update(shots.tolist())
        # If ties were in the order of the file, every ten images would give exactly one shot.
        drawn["one of each ten"] += sorted(shots // 10) == list(range(10))
    assert drawn.pop("one of each ten") < 20
    assert set(drawn) == set(range(100))


# --- references -----------------------------------------------------------------------------------


def random_sizes(rng, case):
    """Shapes of groups: one huge among singletons, equal, wild, only singletons, two groups."""
    kind = case % 5
    if kind == 0:
        return [int(rng.integers(20, 80)), *([1] * int(rng.integers(1, 30)))]
    if kind == 1:
        return [int(rng.integers(2, 12))] * int(rng.integers(2, 20))
    if kind == 2:
        return rng.geometric(0.15, int(rng.integers(2, 25))).tolist()
    if kind == 3:
        return [1] * int(rng.integers(4, 40))
    return rng.integers(2, 30, 2).tolist()


@pytest.mark.parametrize("test_share", [None, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_no_reference_is_on_both_sides(sampling, test_share):
    rng = np.random.default_rng(11)
    done = 0
    for case in range(100):
        sizes = random_sizes(rng, case)
        ratings = grouped(sizes, seed=case)
        references = np.array(ratings.references)
        shots = int(rng.integers(2, 8))
        for seed in range(4):
            try:
                split = draw_split(ratings, shots, seed, sampling=sampling, test_share=test_share)
            except InputError as error:
                # Refused only if the reported numbers are too small.
                available = re.search(r"shots has (\d+) images, of", str(error))
                tested = re.search(r"images for the test: (\d+), at least 2", str(error))
                assert int(available[1]) < shots if available else int(tested[1]) < 2
                continue
            done += 1
            check(split, len(references), shots)
            assert leaked(ratings, split) == set()
            in_test = set(references[split.test])
            np.testing.assert_array_equal(split.test, np.flatnonzero(np.isin(references, list(in_test))))
            share = 0.5 if test_share is None else test_share
            assert 1 <= len(in_test) <= len(sizes) - 1
            assert abs(len(in_test) - share * len(sizes)) <= 0.5 or len(in_test) in (1, len(sizes) - 1)
    assert done > 130


def test_a_split_that_ignores_references_would_leak():
    """The check above can fail: without references, the same set leaks."""
    ratings = grouped([4] * 10)
    assert leaked(ratings, draw_split(rated(ratings.mos), 10, 0))


@pytest.mark.parametrize(("groups", "tested"), [(2, 1), (3, 1), (24, 12), (25, 12), (81, 40)])
def test_half_of_the_references_are_tested(groups, tested):
    ratings = grouped([5] * groups)
    for seed in range(5):
        split = draw_split(ratings, 4, seed)
        assert len({ratings.references[i] for i in split.test}) == tested


def test_references_from_a_file_keep_their_sides(tmp_path):
    """From file names to the split: TID2013's mix of capitals must not separate a reference."""
    rows = ["image,mos"]
    for reference in range(1, 9):
        for distortion in range(1, 5):
            capital = "I" if distortion % 2 else "i"
            name = f"{capital}{reference:02}_{distortion:02}_1.bmp"
            Image.new("RGB", (2, 2)).save(tmp_path / name)
            rows.append(f"{name},{reference + distortion / 10}")
    (tmp_path / "ratings.csv").write_text("\n".join(rows))
    ratings = read_ratings(tmp_path / "ratings.csv")
    for seed in range(30):
        split = draw_split(ratings, 8, seed)
        numbers = [{int(ratings.images[i][-11:-9]) for i in index} for index in (split.shots, split.test)]
        assert not numbers[0] & numbers[1]
        assert len(numbers[1]) == 4


# --- a column of the file -------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_column(sampling):
    rng = np.random.default_rng(5)
    words = rng.choice(["train", "val", "test"], 60, p=[0.6, 0.2, 0.2])
    ratings = rated(rng.normal(size=60), None, other_split=["test"] * 60, split=words)
    for seed in range(10):
        split = draw_split(ratings, 10, seed, sampling=sampling, column="split")
        check(split, 60, 10)
        assert set(words[split.shots]) == {"train"}
        np.testing.assert_array_equal(split.test, np.flatnonzero(words == "test"))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_column_loses_train_rows_whose_reference_is_tested(sampling):
    rng = np.random.default_rng(6)
    done = 0
    for case in range(150):
        whole = grouped(random_sizes(rng, case), seed=case)
        words = rng.choice(["train", "val", "test"], len(whole.mos), p=[0.7, 0.2, 0.1])
        ratings = rated(whole.mos, whole.references, split=words)
        references = np.array(ratings.references)
        tested = np.flatnonzero(words == "test")
        clean = np.flatnonzero((words == "train") & ~np.isin(references, references[tested]))
        shots = int(rng.integers(2, 8))
        if len(clean) < shots or len(tested) < 2:
            with pytest.raises(InputError):
                draw_split(ratings, shots, case, sampling=sampling, column="split")
            continue
        done += 1
        split = draw_split(ratings, shots, case, sampling=sampling, column="split")
        check(split, len(words), shots)
        assert set(split.shots) <= set(clean)
        np.testing.assert_array_equal(split.test, tested)
        assert leaked(ratings, split) == set()
    assert done > 40


def test_column_says_how_many_rows_it_lost():
    words = ["train"] * 8 + ["test"] * 4
    references = ["a", "a", "a", "b", "b", "b", "c", "c", "a", "b", "d", "d"]
    message = error_of(rated(range(12), references, split=words), 3, column="split")
    assert "8 train rows, of which 6 share a reference with a test row: 2 are left" in message
    assert "too few for 3 shots" in message
    assert "2 shots or fewer" in message
    assert "(see shots, split_column)" in message


def test_unknown_column():
    ratings = rated(range(9), None, official_split=["train"] * 9, my_split=["test"] * 9)
    message = error_of(ratings, 2, column="split")
    assert "ratings.csv: no split column 'split'" in message
    assert "'official_split', 'my_split'" in message
    assert "No column has 'split' in its name" in error_of(rated(range(9)), 2, column="split")


@pytest.mark.parametrize("words", [["train"] * 9, ["test"] * 9, ["0", "1", "2"] * 3])
def test_column_without_train_or_test(words):
    message = error_of(rated(range(9), None, split=words), 2, column="split")
    assert "'train'" in message
    assert "'test'" in message
    assert f"{words.count(words[0])} x '{words[0]}'" in message


# --- too few images, wrong arguments ----------------------------------------------------------------


def test_too_few_images():
    message = error_of(rated(range(10)), 50)
    assert message.startswith("ratings.csv: there are 10 rated images, too few for 50 shots")
    assert "8 shots or fewer" in message
    assert "too few for 9 shots" in error_of(rated(range(10)), 9)
    check(draw_split(rated(range(10)), 8, 0), 10, 8)

    tiny = error_of(rated(range(3)), 2)
    assert "shots or fewer" not in tiny
    assert "Rate more images" in tiny


def test_too_few_images_beside_a_share():
    ratings = rated(range(10))
    message = error_of(ratings, 7, test_share=0.4)
    assert "6 rated images beside the 4 of the test set" in message
    assert "6 shots or fewer" in message
    assert "test_share smaller" in message
    check(draw_split(ratings, 6, 0, test_share=0.4), 10, 6)
    message = error_of(ratings, 2, test_share=0.1)
    assert "too few images for the test: 1, at least 2" in message
    assert "test_share larger" in message


def test_too_few_images_of_the_references():
    ratings = grouped([5] * 8)
    message = error_of(ratings, 21)
    assert "20 images, of 4 of the 8 references" in message
    assert "20 shots or fewer" in message
    check(draw_split(ratings, 20, 0), 40, 20)
    assert "all images are of one reference, 'x'" in error_of(rated(range(9), "x" * 9), 2)


def test_sides_that_are_too_small_by_chance():
    """One of two references has a single image; the side that it is on is too small."""
    messages = {error_of(rated(range(4), "aaab"), 2, seed) for seed in range(20)}
    assert len(messages) == 2
    pool, test = sorted(messages, key=lambda message: "for the test" in message)
    assert "side of the shots has 1 images, of 1 of the 2 references" in pool
    assert "too few images for the test: 1, at least 2 are needed" in test
    assert all("seed" in message and "test_share" in message for message in messages)


@pytest.mark.parametrize("test_share", [0.01, 0.99])
def test_at_least_one_reference_on_each_side(test_share):
    split = draw_split(grouped([4] * 6), 3, 0, test_share=test_share)
    assert len(split.test) == (4 if test_share < 0.5 else 20)


def test_shots_of_one_value():
    message = error_of(rated([3.0] * 40 + [5.0], None), 2, seed=1)
    assert "all 2 shots drawn have MOS 3.0" in message
    assert "(see seed, sampling)" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shots": 1}, "shots: must be at least 2, not 1"),
        ({"shots": -5}, "shots: must be at least 2, not -5"),
        ({"seed": -1}, "seed: must be 0 or larger, not -1"),
        ({"sampling": "even"}, "sampling: must be random or spread, not 'even'"),
        ({"test_share": 0.0}, "test_share"),
        ({"test_share": 1.0}, "test_share"),
        ({"test_share": float("nan")}, "test_share"),
        ({"test_share": 0.5, "column": "split"}, "contradict"),
    ],
)
def test_invalid_arguments(options, words):
    ratings = rated(range(20), None, split=["train", "test"] * 10)
    with pytest.raises(GRMPError, match=re.escape(words)) as caught:
        draw_split(ratings, **{"shots": 5, "seed": 0, **options})
    assert isinstance(caught.value, InputError if "seed" in options else ConfigError)


@pytest.mark.parametrize(
    "setting",
    [{"shots": 1}, {"sampling": "even"}, {"test_share": 0.0}, {"test_share": 1.5}, {"split_by": "rows"}],
)
def test_settings_and_draws_refuse_the_same_values_in_the_same_words(setting):
    with pytest.raises(ConfigError) as in_settings:
        AdaptSettings(**setting)
    with pytest.raises(ConfigError) as in_draw:
        draw_split(rated(range(20), None), **{"shots": 5, "seed": 0, **setting})
    assert str(in_settings.value) == str(in_draw.value)
    assert in_settings.value.argument == in_draw.value.argument == next(iter(setting))
