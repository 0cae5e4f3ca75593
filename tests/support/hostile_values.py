"""Values and variations of files for property-based tests of what no file may do; see `check`.

More examples: `HOSTILE_EXAMPLES=2000 pytest tests/unit/test_hostile_*.py`.
"""

import os
import signal
import time
from contextlib import contextmanager

import hypothesis
import hypothesis.strategies as st

from grmp_plugin.errors import GRMPError

# Time is measured below, as processor time.
hypothesis.settings.register_profile(
    "hostile",
    max_examples=int(os.environ.get("HOSTILE_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    database=None,
    derandomize=True,
)
hypothesis.settings.load_profile("hostile")

# By the clock, on a machine that other programs keep busy.
MOST_SECONDS = 60.0

NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 1, 2, 10**6, 10**9, 2**63, 10**30, 10**400]),
    st.floats(),
    st.sampled_from([1e9, 1e-300, 1e300]),
)
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\x1b[31m", "[red]", "{scene}", "{0.__class__}", "crops", "squash", "x" * 5000, "\0", "~~"]
    ),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def places(data, prefix=()):
    """Paths of all values in nested data."""
    yield prefix
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*prefix, key))


def changed(data, place, value):
    """The data with another value in one place."""
    if not place:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[place[0]] = changed(data[place[0]], place[1:], value)
    return copy


def variations(data):
    """Up to three values replaced, anywhere."""
    edit = st.tuples(st.sampled_from(sorted(places(data), key=str)), VALUES)

    def apply(edits):
        result = data
        for place, value in edits:
            if place in set(places(result)):
                result = changed(result, place, value)
        return result

    return st.lists(edit, min_size=1, max_size=3).map(apply)


def damaged(content):
    """The content with some bytes flipped, and perhaps cut off."""
    # Headers are at the beginning and at the end.
    near = st.integers(0, min(3000, len(content) - 1))
    place = st.one_of(near, near.map(lambda n: len(content) - 1 - n), st.integers(0, len(content) - 1))
    edits = st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=4)
    lengths = st.one_of(st.just(len(content)), st.integers(0, len(content)))

    def apply(drawn):
        copy = bytearray(content)
        for where, byte in drawn[0]:
            copy[where] = byte
        return bytes(copy[: drawn[1]])

    return st.tuples(edits, lengths).map(apply)


@contextmanager
def ended_after(seconds):
    """Fail where the block waits, for a pipe or a lock, which takes no time of the processor."""

    def fail(number, frame):
        raise AssertionError(f"it still waits after {seconds} seconds")

    if not hasattr(signal, "SIGALRM"):  # Windows
        yield
        return
    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check(file, *steps):
    """Run steps, each of which may refuse the file, and must name it, within five seconds of processor time.

    Returns:
        Message of each step, or None where it refused nothing.
    """
    messages = []
    for step in steps:
        refused = None
        started = time.process_time()  # other programs may keep the machine busy
        try:
            with ended_after(MOST_SECONDS):
                step(file)
        except GRMPError as error:
            refused = str(error)
        assert time.process_time() - started < 5
        assert refused is None or (str(file) in refused and len(refused) < 20_000), refused
        messages.append(refused)
    return messages
