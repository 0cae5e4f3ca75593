"""Scores kept on disk."""

import math
import sqlite3
from contextlib import closing

from grmp_plugin.evaluation.score_cache import KeptScore, ScoreCache, cache_key


def test_scores_are_found_again_by_the_next_run(tmp_path):
    file = tmp_path / "folder" / "scores.sqlite"
    first = ScoreCache(file)
    kept = {str(number): KeptScore(number / 3, 0.5) for number in range(1200)}
    first.keep(kept)
    first.close()
    second = ScoreCache(file)
    assert second.find([*kept, "unknown"]) == kept
    second.keep({"1": KeptScore(9.0, 1.0)})
    assert second.find(["1"]) == {"1": KeptScore(9.0, 1.0)}
    assert second.problem is None
    second.close()


def test_key_changes_with_everything_that_the_score_depends_on():
    keys = {
        cache_key({"metric": "a", "options": {"x": 1}}, "image", None),
        cache_key({"metric": "a", "options": {"x": 2}}, "image", None),
        cache_key({"metric": "b", "options": {"x": 1}}, "image", None),
        cache_key({"metric": "a", "options": {"x": 1}}, "other", None),
        cache_key({"metric": "a", "options": {"x": 1}}, "image", "reference"),
    }
    assert len(keys) == 5
    assert cache_key({"p": 1, "q": 2}, "i", None) == cache_key({"q": 2, "p": 1}, "i", None)


def test_a_damaged_file_is_reported_and_renamed(tmp_path):
    file = tmp_path / "scores.sqlite"
    damaged = b"not a database, but long enough for its header to be read" * 50
    file.write_bytes(damaged)
    cache = ScoreCache(file)
    assert "damaged" in str(cache.problem)
    assert (tmp_path / "scores.damaged").read_bytes() == damaged
    cache.keep({"a": KeptScore(1.0, 1.0)})
    cache.close()
    again = ScoreCache(file)
    assert again.find(["a"]) == {"a": KeptScore(1.0, 1.0)}
    assert again.problem is None


def test_damage_found_later_is_no_crash(tmp_path):
    file = tmp_path / "scores.sqlite"
    cache = ScoreCache(file)
    cache.keep({str(number): KeptScore(1.0, 1.0) for number in range(5000)})
    cache.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    cache = ScoreCache(file)
    assert cache.find(["1", "2"]) == {}
    cache.keep({"a": KeptScore(1.0, 1.0)})
    assert cache.find(["a"]) == {"a": KeptScore(1.0, 1.0)}


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").touch()
    cache = ScoreCache(tmp_path / "file" / "scores.sqlite")
    assert cache.problem is not None
    assert cache.find(["a"]) == {}


def test_rows_that_hold_no_numbers_are_computed_again(tmp_path):
    """SQLite keeps text in a column of numbers."""
    file = tmp_path / "scores.sqlite"
    cache = ScoreCache(file)
    cache.keep({key: KeptScore(1.0, 0.5) for key in ("text", "bytes", "seconds", "good")})
    cache.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE scores SET score = 'high' WHERE key = 'text'")
        connection.execute("UPDATE scores SET score = x'ff00' WHERE key = 'bytes'")
        connection.execute("UPDATE scores SET seconds = 'long' WHERE key = 'seconds'")
    again = ScoreCache(file)
    assert again.find(["text", "bytes", "seconds", "good"]) == {"good": KeptScore(1.0, 0.5)}
    again.keep({"text": KeptScore(2.0, 0.1)})
    assert again.find(["text"]) == {"text": KeptScore(2.0, 0.1)}
    again.close()


def test_infinity_is_a_score(tmp_path):
    """PSNR of equal images."""
    cache = ScoreCache(tmp_path / "scores.sqlite")
    cache.keep({"a": KeptScore(math.inf, 1.0)})
    assert cache.find(["a"]) == {"a": KeptScore(math.inf, 1.0)}
