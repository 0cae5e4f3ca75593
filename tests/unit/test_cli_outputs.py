"""What `grmp score` and `grmp compare` write and say: never over an input, one run at a time."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from grmp_cli.app import app
from PIL import Image
from typer.testing import CliRunner

from grmp_plugin.api.scores import Scores
from grmp_plugin.errors import InputError
from grmp_plugin.evaluation.metrics import Metrics
from grmp_plugin.files import only_writer
from grmp_plugin.network.checkpoint import write_checkpoint


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two photographs in a folder of the current one, and a file in place of a model."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (90, 120, 50 + number)).save(f"photos/{number}.png")
    Path("mine.safetensors").write_bytes(b"weights")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [*arguments, "--device", "cpu"])


def never(*arguments, **options):
    pytest.fail("it began to work")


OUTPUTS = [
    ("score", "--out", "a.csv"),
    ("score", "--report", "a.html"),
    ("compare", "--out", "a.csv"),
    ("compare", "--scores", "a.csv"),
    ("compare", "--report", "a.html"),
]


@pytest.mark.parametrize(("command", "option", "file"), OUTPUTS)
def test_the_second_of_two_runs_is_told(photos, monkeypatch, command, option, file):
    """Before any work, and nothing is replaced."""
    monkeypatch.setattr("grmp_plugin.api.score.Scoring", never)
    monkeypatch.setattr("grmp_plugin.api.compare.compare", never)
    Path(file).write_text("of the first run")
    with only_writer(file):
        error = run(command, "photos", option, file).exception
    assert isinstance(error, InputError)
    assert error.argument == option[2:]
    assert f"another run is writing {file}; wait for its end" in error.message
    assert Path(file).read_text() == "of the first run"


@pytest.mark.parametrize(("command", "option", "file"), OUTPUTS)
def test_a_run_keeps_others_away_until_its_file_is_written(photos, monkeypatch, command, option, file):
    seen = []

    def write(*arguments, **options):
        try:
            with only_writer(file):
                seen.append("free")
        except BlockingIOError:
            seen.append("taken")
        raise InputError("stopped")

    monkeypatch.setattr(Scores, "write", write)
    monkeypatch.setattr(Scores, "report", write)
    result = SimpleNamespace(write=write, report=write, image_scores=lambda: SimpleNamespace(write=write))
    monkeypatch.setattr("grmp_plugin.api.compare.compare", lambda *arguments, **options: result)
    assert "stopped" in str(run(command, "photos", option, file).exception)
    assert seen == ["taken"]
    with only_writer(file):
        pass  # free again


@pytest.mark.parametrize(
    ("arguments", "out", "read"),
    [
        (["photos"], "a.csv", "photos/1.png"),
        (["photos", "--model", "mine.safetensors"], "a.csv", "mine.safetensors"),
        (["photos"], "a.parquet", "photos/1.png"),
        (["list.txt"], "a.parquet", "photos/1.png"),
        (["list.txt"], "a.parquet", "list.txt"),
        (["photos", "--model", "mine.safetensors"], "a.parquet", "mine.safetensors"),
    ],
)
def test_scores_never_replace_an_input(photos, monkeypatch, arguments, out, read):
    """Through a link, before any work; a Parquet file alone is written by a job."""
    monkeypatch.setattr("grmp_plugin.api.score.Scoring", never)
    monkeypatch.setattr("grmp_plugin.api.score_job.Judge", never)
    Path("list.txt").write_text("photos/0.png\nphotos/1.png\n")
    kept = Path(read).read_bytes()
    Path(out).symlink_to(read)
    error = run("score", *arguments, "--out", out).exception
    assert isinstance(error, InputError)
    assert error.argument == "out"
    assert f"{out} is the input {read}" in error.message
    assert Path(read).read_bytes() == kept


def test_long_scoring_prints_lines_off_a_terminal(photos, small_checkpoint, monkeypatch):
    """As the log of a batch job shows them."""
    write_checkpoint(small_checkpoint(), "small.safetensors")
    monkeypatch.setattr("grmp_cli.bars.time", SimpleNamespace(monotonic=iter(range(0, 10**6, 60)).__next__))
    for number in range(2, 20):
        Image.new("RGB", (64, 64), (90, 120, number)).save(f"photos/{number}.png")
    result = run("score", "photos", "--out", "a.csv", "--model", "small.safetensors")
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("scoring: ")]
    assert len(lines) >= 5
    assert all(" of 20, " in line and line.endswith(" left") for line in lines)


def test_compare_chooses_the_device_as_its_help_says(photos, monkeypatch):
    shown = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "auto: CUDA, else MPS, else the CPU." in shown.output
    chosen = []

    def stop(device):
        for cuda, mps in ((True, True), (False, True), (False, False)):
            with monkeypatch.context() as context:
                context.setattr("torch.cuda.is_available", lambda here=cuda: here)
                context.setattr("torch.backends.mps.is_available", lambda here=mps: here)
                chosen.append(metrics(device).device.type)
        raise InputError("stopped")

    metrics = Metrics
    monkeypatch.setattr("grmp_plugin.evaluation.metrics.Metrics", stop)
    result = CliRunner().invoke(app, ["compare", "photos", "--metrics", "grmp_iqa-tiny"])
    assert "stopped" in str(result.exception)
    assert chosen == ["cuda", "mps", "cpu"]
