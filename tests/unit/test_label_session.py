"""The session of the raters: what each is shown, votes on disk, undo, resume, and the files that come out."""

import csv
import math
import os
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import InputError
from grmp_plugin.labelling.export import Exporter, export, mos_rows
from grmp_plugin.labelling.plan import PRACTICE, RATE, REPEAT, plan
from grmp_plugin.labelling.store import Rater, Store
from grmp_plugin.labelling.votes import Vote, Window

WINDOW = Window(1200, 800, 1.5)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """20 files to rate and 5 for practice; the session does not look inside."""
    (tmp_path / "photos").mkdir()
    made = [tmp_path / "photos" / f"{number}.jpg" for number in range(25)]
    for path in made:
        path.write_bytes(b"a picture")
    return [str(path) for path in made]


def begin(folder: Path, paths: list[str], *, pairs: bool = False) -> Store:
    return Store.create(folder / "r.session.sqlite", paths[:20], paths[20:], pairs=pairs, seed=7)


def rate_all(store: Store, rater: Rater, value=lambda path: int(Path(path).stem) % 5 + 1) -> list[str]:
    """Rate everything; the paths in the order in which they were shown."""
    shown = []
    while (task := store.state(rater).task) is not None:
        shown.append(store.picture_of(rater, task, 0))
        assert store.vote(rater, task, value(shown[-1]), 2.5, WINDOW)
    return shown


def test_a_plan_has_practice_first_and_repeats_late_and_apart() -> None:
    for seed in range(50):
        tasks = plan(range(50), range(50, 55), pairs=False, chance=np.random.default_rng(seed))
        kinds = [task.kind for task in tasks]
        assert kinds[:5] == [PRACTICE] * 5
        assert kinds.count(RATE) == 50
        assert kinds.count(REPEAT) == 5
        assert {task.left for task in tasks[:5]} == set(range(50, 55))
        assert sorted(task.left for task in tasks if task.kind == RATE) == list(range(50))
        first = {task.left: at for at, task in enumerate(tasks) if task.kind == RATE}
        for at, task in enumerate(tasks):
            assert task.kind != REPEAT or at - first[task.left] > 5


def test_small_sets_have_no_repeats() -> None:
    tasks = plan(range(3), range(3), pairs=False, chance=np.random.default_rng(0))
    assert [task.kind for task in tasks] == [PRACTICE] * 3 + [RATE] * 3


def test_pairs_connect_all_pictures_and_sides_are_at_random() -> None:
    left_first = 0
    for seed in range(20):
        tasks = plan(range(30), range(5), pairs=True, chance=np.random.default_rng(seed))
        rated = [task for task in tasks if task.kind == RATE]
        assert len({frozenset((task.left, task.right)) for task in rated}) == len(rated) >= 55
        assert all(task.left != task.right for task in rated)
        groups = {number: {number} for number in range(30)}
        for task in rated:
            joined = groups[task.left] | groups[task.right]
            for number in joined:
                groups[number] = joined
        assert len(groups[0]) == 30
        left_first += sum(task.left < task.right for task in rated)
    assert abs(left_first / (20 * len(rated)) - 0.5) < 0.05


def test_each_rater_has_an_order_of_their_own_which_the_seed_determines(
    tmp_path: Path, paths: list[str]
) -> None:
    orders = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        store = begin(tmp_path / folder, paths)
        orders.append([rate_all(store, store.enter(name)) for name in ("Ada", "Bo")])
        store.close()
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]
    assert sorted(set(orders[0][0])) == sorted(set(orders[0][1])) == sorted(paths)


def test_a_session_goes_on_where_it_was(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths)
    ada = store.enter("Ada")
    shown = []
    while (task := store.state(ada).task) is not None:
        shown.append(store.picture_of(ada, task, 0))
        assert store.vote(ada, task, 3, 1.0, WINDOW)
        store.close()
        store = Store(tmp_path / "r.session.sqlite")
        assert store.rater(token=ada.token) == store.rater(name="ADA") == ada
    assert len(shown) == 5 + 20 + 2
    assert len(store.votes()) == 22


def test_a_vote_counts_once_and_only_in_turn(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths)
    ada, bo = store.enter("Ada"), store.enter("Bo")
    state = store.state(ada)
    assert store.vote(ada, state.task, 4, 1.0, WINDOW)
    # The page asks again where the answer was lost.
    assert store.vote(ada, state.task, 2, 1.0, WINDOW)
    assert store.state(ada).done == 1
    assert not store.vote(ada, state.following + 1, 4, 1.0, WINDOW)
    assert not store.vote(bo, state.task, 4, 1.0, WINDOW)
    assert not store.vote(ada, 10_000, 4, 1.0, WINDOW)
    assert store.picture_of(bo, state.task, 0) is None
    assert store.picture_of(ada, state.task, 1) is None
    assert (store.state(ada).done, store.state(bo).done) == (1, 0)
    assert store.enter("ada") is None


def test_undo_takes_back_the_last_vote_and_keeps_it_marked(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths)
    ada = store.enter("Ada")
    store.undo(ada)
    assert not store.state(ada).can_undo
    shown = rate_all(store, ada, lambda path: 2)
    store.undo(ada)
    store.undo(ada)
    task = store.state(ada).task
    assert store.picture_of(ada, task, 0) == shown[-2]
    assert store.vote(ada, task, 5, 1.0, WINDOW)
    assert [vote.value for vote in store.votes()] == [2] * 20 + [5]
    connection = sqlite3.connect(store.path)
    assert connection.execute("SELECT count(*), sum(undone) FROM vote").fetchone() == (28, 2)
    connection.close()


def test_more_pictures_come_after_the_others_for_everybody(tmp_path: Path, paths: list[str]) -> None:
    store = Store.create(tmp_path / "r.session.sqlite", paths[:10], paths[10:15], pairs=False, seed=0)
    ada = store.enter("Ada")
    first = rate_all(store, ada)
    # Two of the new ones were for practice before, one is known.
    store.add_pictures([*paths[9:12], *paths[15:20]])
    assert len(store.pictures()) == 17
    second = rate_all(store, ada)
    assert set(second) == {*paths[10:12], *paths[15:20]}
    assert not set(second) & set(first[5:])
    bo = store.enter("Bo")
    assert set(rate_all(store, bo)[5:]) == {*paths[:12], *paths[15:20]}


def test_ratings_are_written_in_the_form_that_adapt_reads(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths)
    for name, shift in (("Ada", 0), ("Bo", 1)):
        rate_all(
            store, store.enter(name), lambda path, shift=shift: min(int(Path(path).stem) % 5 + 1 + shift, 5)
        )
    out = tmp_path / "r.csv"
    export(store, out)
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert list(rows[0]) == ["image", "rater", "rating", "seconds", "repeat"]
    assert len(rows) == 2 * 22
    assert sum(row["repeat"] == "1" for row in rows) == 4
    assert {row["seconds"] for row in rows} == {"2.5"}
    ratings = read_ratings(out)
    assert len(ratings.images) == 20
    by_name = dict(zip(map(os.path.basename, ratings.images), ratings.mos, strict=True))
    assert by_name["0.jpg"] == pytest.approx(1.5)
    mos = {row["image"]: row for row in csv.DictReader((tmp_path / "r.mos.csv").open(encoding="utf-8"))}
    assert mos["photos/0.jpg"]["mos"] == "1.5"
    assert mos["photos/0.jpg"]["n"] == "2"
    np.testing.assert_allclose(read_ratings(tmp_path / "r.mos.csv").mos.mean(), ratings.mos.mean(), atol=0.1)


def test_intervals_of_the_mos_are_students() -> None:
    from scipy.stats import t

    votes = [Vote("/a", None, str(n), v, 1.0, WINDOW, "", False) for n, v in enumerate((1, 2, 4, 5, 5))]
    # The first rater again: their mean is one opinion, and "cannot judge" is none.
    votes += [
        Vote("/a", None, "0", 3, 1.0, WINDOW, "", True),
        Vote("/a", None, "9", None, 1.0, WINDOW, "", False),
    ]
    votes.append(Vote("/b", None, "0", 4, 1.0, WINDOW, "", False))
    values = [2, 2, 4, 5, 5]
    first, second = mos_rows(votes, "/")
    low, high = t.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) / math.sqrt(5))
    assert (first["mos"], first["n"]) == (3.6, 5)
    np.testing.assert_allclose([first["low"], first["high"]], [low, high], atol=1e-3)
    assert second == {"image": "b", "mos": 4.0, "std": None, "n": 1, "low": None, "high": None}


def test_pairs_are_written_with_both_sides(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths, pairs=True)
    ada = store.enter("Ada")
    answers = {}
    while (task := store.state(ada).task) is not None:
        left, right = (store.picture_of(ada, task, side) for side in (0, 1))
        value = int(np.sign(int(Path(right).stem) // 2 - int(Path(left).stem) // 2))
        answers[os.path.relpath(left, tmp_path), os.path.relpath(right, tmp_path)] = value
        assert store.vote(ada, task, value, 1.0, WINDOW)
    export(store, tmp_path / "r.csv")
    rows = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert len(rows) >= 40
    for row in rows:
        assert row["better"] == {-1: "left", 0: "same", 1: "right"}[answers[row["left"], row["right"]]]


def test_the_exporter_writes_soon_and_at_the_end(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths)
    exporter = Exporter(store, tmp_path / "r.csv")
    ada = store.enter("Ada")
    while (task := store.state(ada).task) is not None:
        store.vote(ada, task, 3, 1.0, WINDOW)
        exporter.changed()
    exporter.close()
    assert exporter.error is None
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + 22


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_odd_names_are_kept(tmp_path: Path) -> None:
    names = ["caf\xe9 \u56fe.jpg", "=1+1.jpg", "<img src=x>.jpg", 'comma, "quote".jpg']
    for name in names:
        (tmp_path / name).write_bytes(b"a picture")
    store = Store.create(
        tmp_path / "r.session.sqlite", [str(tmp_path / n) for n in names], [], pairs=False, seed=0
    )
    rate_all(store, store.enter("Ada"), lambda path: names.index(os.path.basename(path)) + 1)
    export(store, tmp_path / "r.csv")
    assert sorted(map(os.path.basename, read_ratings(tmp_path / "r.csv").images)) == sorted(names)


def test_a_file_of_something_else_is_no_session(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be looked at" * 50)
    sqlite3.connect(tmp_path / "other").execute(
        "CREATE TABLE session (name TEXT, value TEXT)"
    ).connection.commit()
    for name in ("text", "other"):
        with pytest.raises(InputError, match="not a rating session"):
            Store(tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_nobody_else_can_read_the_secret(tmp_path: Path, paths: list[str]) -> None:
    assert begin(tmp_path, paths).path.stat().st_mode & 0o077 == 0


def test_closing_waits_for_threads_that_read(tmp_path: Path, paths: list[str]) -> None:
    store = begin(tmp_path, paths)
    ada = store.enter("Ada")
    rate_all(store, ada)
    failures: list[Exception] = []

    def read() -> None:
        while not failures:
            try:
                store.votes()
            except sqlite3.ProgrammingError as error:  # closed: said, not crashed
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    store.close()
    for thread in threads:
        thread.join(30)
    assert failures
