"""What a rater is shown, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRACTICE, RATE, REPEAT = "practice", "rate", "repeat"

PRACTICE_PICTURES = 5
"""Shown first; their votes do not count."""

_REPEATED_SHARE = 10  # one picture in this many is shown again
_LEAST_BETWEEN = 5  # tasks between a picture and its repetition
_ROUNDS_OF_PAIRS = 2  # each picture meets two others per round


@dataclass(frozen=True)
class Task:
    """One thing to judge.

    Attributes:
        kind: PRACTICE, RATE or REPEAT.
        left: Number of the picture, or of the left one of a pair.
        right: Number of the right picture of a pair; None for single pictures.
    """

    kind: str
    left: int
    right: int | None = None


def plan(
    pictures: Sequence[int], practice: Sequence[int], *, pairs: bool, chance: np.random.Generator
) -> list[Task]:
    """The tasks of one rater.

    Args:
        pictures: Numbers of the pictures to judge.
        practice: Numbers of the pictures for practice; empty for none.
        pairs: Whether pictures are compared in pairs.
        chance: Source of random numbers, the rater's own.

    Returns:
        Practice in random order, then the pictures in random order with a few of them again. Pairs: each
        picture meets four others, in a way that connects all pictures.
    """
    if pairs:
        first, body = _pairs(practice, 1, chance), _pairs(pictures, _ROUNDS_OF_PAIRS, chance)
    else:
        first, body = _singles(practice, chance), _singles(pictures, chance)
    tasks = [Task(RATE, *each) for each in body]
    return [Task(PRACTICE, *each) for each in first] + _with_repeats(tasks, chance)


def _shuffled(numbers: Sequence[int], chance: np.random.Generator) -> list[int]:
    return [int(number) for number in chance.permutation(np.array(numbers, np.int64))]


def _singles(numbers: Sequence[int], chance: np.random.Generator) -> list[tuple[int, int | None]]:
    return [(number, None) for number in _shuffled(numbers, chance)]


def _pairs(numbers: Sequence[int], rounds: int, chance: np.random.Generator) -> list[tuple[int, int | None]]:
    """Pairs along closed ways through all pictures; no pair twice, sides at random."""
    if len(numbers) < 2:
        return []
    found: dict[frozenset[int], tuple[int, int | None]] = {}
    for _ in range(rounds):
        way = _shuffled(numbers, chance)
        for one, other in zip(way, [*way[1:], way[0]], strict=True):
            sides = (one, other) if chance.random() < 0.5 else (other, one)
            found.setdefault(frozenset(sides), sides)
    pairs = list(found.values())
    return [pairs[int(at)] for at in chance.permutation(len(pairs))]


def _with_repeats(tasks: list[Task], chance: np.random.Generator) -> list[Task]:
    """Some tasks of the first half again, later, and not soon after."""
    early = len(tasks) // 2
    wanted = len(tasks) // _REPEATED_SHARE
    result = list(tasks)
    for at in chance.permutation(early)[:wanted]:
        again = Task(REPEAT, tasks[at].left, tasks[at].right)
        least = result.index(tasks[at]) + 1 + _LEAST_BETWEEN
        if least <= len(result):
            result.insert(int(chance.integers(least, len(result) + 1)), again)
    return result
