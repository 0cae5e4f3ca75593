"""What commands show of long work off a terminal, and how they stop."""

import signal
from pathlib import Path

import pytest
from grmp_cli import bars, progress
from grmp_cli.bars import ProgressBar
from grmp_cli.progress import ShownProgress
from grmp_cli.signals import Terminated, exit_code, termination_as_interrupt

from grmp_plugin.progress import Progress
from grmp_plugin.training.loop import Step


@pytest.fixture
def clock(monkeypatch):
    """A clock that shows what is assigned to `now`."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(bars, "time", found)
    return found


def test_long_work_prints_lines_off_a_terminal(capsys, clock):
    bar = ProgressBar()
    for done in range(1, 1001):
        clock.now = done * 1.0
        bar(Progress("scoring", done, 1000))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "scoring: 11 of 1000, 15 min left"
    assert [line.split()[1] for line in lines[1:]] == [str(number) for number in range(100, 1000, 100)]


def test_short_work_prints_nothing_off_a_terminal(capsys, clock):
    bar = ProgressBar()
    for stage in ("scoring", "drawing maps"):
        for done in range(1, 101):
            clock.now += 0.09
            bar(Progress(stage, done, 100))
    assert capsys.readouterr().err == ""


@pytest.fixture
def handlers():
    """Restores the handlers of both signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_stops_after_the_step(handlers, capfd, number, code):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    expected = signal.getsignal(number)
    watch = ShownProgress(None)
    with watch.running():
        assert not watch.should_stop()
        signal.raise_signal(number)
        assert watch.should_stop()
    assert watch.exit_code == code
    assert "stopping after this step" in capfd.readouterr().err
    assert signal.getsignal(number) is expected


def test_a_training_respects_signals_ignored_at_its_start(handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch = ShownProgress(None)
    with watch.running():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
        assert not watch.should_stop()


def test_termination_is_an_interrupt_with_a_code_of_its_own(handlers):
    with pytest.raises(KeyboardInterrupt) as stopped, termination_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert isinstance(stopped.value, Terminated)
    assert exit_code(stopped.value) == 143
    assert exit_code(KeyboardInterrupt()) == 130
    assert signal.getsignal(signal.SIGTERM) is handlers[signal.SIGTERM]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with termination_as_interrupt():
        signal.raise_signal(signal.SIGTERM)


def test_each_split_has_a_tensorboard_folder_of_its_own(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            self.folder = Path(folder).relative_to(tmp_path).as_posix()

        def add_scalar(self, name, value, number):
            written.append((self.folder, name, number))

        def close(self):
            written.append((self.folder, "closed", None))

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", Writer)
    watch = ShownProgress(tmp_path)
    step = Step(1, 1, 1, 1, 0.1, {}, None)
    with watch.running():
        for number in (1, 2):
            watch.split(number, 2, seed=number)
            watch.step(step)
    assert written == [
        ("split-1", "learning_rate", 1),
        ("split-1", "closed", None),
        ("split-2", "learning_rate", 1),
        ("split-2", "closed", None),
    ]
    written.clear()
    single = ShownProgress(tmp_path)
    with single.running():
        single.step(step)
    assert written[0] == (".", "learning_rate", 1)
    assert progress.duration(59.6) == "60 s"


@pytest.mark.parametrize(
    ("steps", "lines"),
    [(1000, [1, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]), (4, [1, 2, 3, 4]), (1, [1])],
)
def test_a_training_prints_a_line_at_each_tenth_off_a_terminal(capsys, steps, lines):
    watch = ShownProgress(None)
    for number in range(1, steps + 1):
        watch.step(Step(number, steps, number, steps, 0.1, {}, None))
    printed = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert printed == lines
