"""After an interruption, a command advises to resume only from a state of its own run."""

import os

import pytest
from grmp_cli.options import KeptState, leave_interrupted

from grmp_plugin.errors import TrainingInterrupted
from grmp_plugin.files import atomic_write


def save(out, text):
    with atomic_write(out.with_name(f"{out.name}.state")) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize(
    ("earlier", "saves", "resume", "own"),
    [
        (False, False, False, False),
        (False, True, False, True),
        (True, False, False, False),  # interrupted before the state of an earlier run was replaced
        (True, True, False, True),
        (True, False, True, True),
        (True, True, True, True),
    ],
)
def test_only_a_state_of_this_run_is_advised(tmp_path, capsys, earlier, saves, resume, own):
    out = tmp_path / "mine.safetensors"
    if earlier:
        save(out, "state")
        # As old as the clock of the file system is coarse.
        os.utime(out.with_name(f"{out.name}.state"), ns=(10**18, 10**18))
    kept = KeptState(out, resume)
    if saves:
        save(out, "state")
    with pytest.raises(SystemExit) as ended:
        leave_interrupted(TrainingInterrupted("interrupted while reading images"), kept, 143)
    assert ended.value.code == 143
    said = capsys.readouterr().err
    assert ("--resume" in said) == own
    assert ("Nothing was kept" in said) != own


def test_without_a_file_nothing_is_kept(capsys):
    with pytest.raises(SystemExit):
        leave_interrupted(TrainingInterrupted("interrupted"), KeptState(None, False), 130)
    assert "interrupted. Nothing was kept" in capsys.readouterr().err
