"""`grmp` as it is typed: every test looks at processes, their output and their exit codes."""

import dataclasses
import fcntl
import json
import os
import pty
import re
import resource
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import torch
from broken_images import make_broken_folder
from PIL import Image

from grmp_plugin.network.checkpoint import write_checkpoint
from grmp_plugin.network.models import find_checkpoint

SUMMARY = re.compile(
    r"\d+ images?, \d+ failed(; median 0\.\d{4}, best 0\.\d{4} \(.+\), worst 0\.\d{4} \(.+\))?"
)


def _scores(rows) -> dict[str, float | None]:
    return {row["image"]: float(row["score"]) if row["score"] not in ("", None) else None for row in rows}


def _table_rows(text: str) -> list[list[str]]:
    """The cells of a printed table, without its header."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def _assert_no_traceback(result) -> None:
    for sign in ("Traceback", "Error:", "Exception ignored", 'File "'):
        assert sign not in result.err


def _imported(result) -> set[str]:
    return {
        line.rpartition("|")[2].strip() for line in result.err.splitlines() if line.startswith("import time")
    }


# Formats and files


@pytest.fixture(scope="module")
def formats(forked, photographs):
    """Every format on stdout, each beside another extension of --out."""
    pairs = (("table", "jsonl"), ("csv", "json"), ("json", "csv"), ("jsonl", "parquet"))
    calls = [("score", "photos", "-f", shown, "--out", f"scores.{suffix}") for shown, suffix in pairs]
    results = forked.each(*calls, cwd=photographs)
    files = {suffix: photographs / f"scores.{suffix}" for _, suffix in pairs}
    return {shown: result for (shown, _), result in zip(pairs, results, strict=True)}, files


def test_all_formats_exit_with_0_and_only_our_messages(formats):
    results, _ = formats
    for result in results.values():
        assert result.code == 0, result.err
        summary, written = result.err.splitlines()
        assert SUMMARY.fullmatch(summary)
        assert summary.startswith("5 images, 0 failed; median")
        assert written.startswith("written to scores.")


def test_scores_are_equal_in_all_formats_and_files(formats):
    import pyarrow.parquet

    from_csv = _scores(formats[0]["csv"].csv_rows)
    document = formats[0]["json"].json
    assert len(from_csv) == 5
    assert all(0 <= score <= 1 for score in from_csv.values())
    jsonl = [json.loads(line) for line in formats[0]["jsonl"].text.splitlines()]
    written = {suffix: path.read_bytes() for suffix, path in formats[1].items()}
    others = {
        "json": document["images"],
        "jsonl": jsonl,
        "file.csv": [
            dict(zip(("image", "score", "error"), row, strict=True)) for row in _csv(written["csv"])
        ],
        "file.json": json.loads(written["json"])["images"],
        "file.jsonl": [json.loads(line) for line in written["jsonl"].decode().splitlines()],
        "file.parquet": pyarrow.parquet.read_table(formats[1]["parquet"]).to_pylist(),
    }
    for name, rows in others.items():
        assert [row["image"] for row in rows] == list(from_csv), name
        assert _scores(rows) == pytest.approx(from_csv, abs=1e-6), name
    for row in (*document["images"], *jsonl, *others["file.parquet"]):
        assert list(row) == ["image", "score", "error"]
        assert row["error"] is None
    table = _table_rows(formats[0]["table"].text)
    assert {name: float(score) for name, score in table} == pytest.approx(from_csv, abs=6e-5)


def _csv(content: bytes) -> list[list[str]]:
    import csv

    header, *rows = csv.reader(content.decode().splitlines())
    assert header == ["image", "score", "error"]
    return rows


def test_names_come_out_as_they_are(formats, photographs):
    files = (path for path in (photographs / "photos").rglob("*") if path.is_file())
    expected = sorted(str(path.relative_to(photographs)) for path in files)
    results, _ = formats
    assert sorted(row["image"] for row in results["json"].json["images"]) == expected
    assert sorted(row["image"] for row in results["csv"].csv_rows) == expected
    assert sorted(row[0] for row in _table_rows(results["table"].text)) == expected


def test_table_says_which_model_it_was(formats):
    header = formats[0]["table"].text.splitlines()[0]
    assert header.startswith("grmp_iqa-tiny")
    assert "ratings of 581" in header


def test_json_and_parquet_record_the_run(formats):
    import pyarrow.parquet

    parquet = pyarrow.parquet.read_schema(formats[1]["parquet"]).metadata[b"run"]
    runs = [formats[0]["json"].json["run"], json.loads(formats[1]["json"].read_text()), json.loads(parquet)]
    runs[1] = runs[1]["run"]
    for run in runs:
        assert run["command"] == "score"
        assert run["model"] == "grmp_iqa-tiny"
        assert re.fullmatch("[0-9a-f]{64}", run["weights_sha256"])
        assert (run["device"], run["precision"]) == ("cpu", "fp32")
        assert {"grmp-iqa", "torch", "pyiqa", "python"} <= run["versions"].keys()
        assert (run["images"], run["failed"]) == (5, 0)
        assert run["best"]["score"] >= run["median"] >= run["worst"]["score"]
        assert "seed" in run
        assert run["preprocess"]["kind"]
    assert runs[0]["median"] == statistics.median(_scores(formats[0]["csv"].csv_rows).values())


# Which images, in which order


@pytest.fixture(scope="module")
def batches(forked, many):
    """The same 40 images by batch size."""
    sizes = (1, 3, 16)
    results = forked.each(*[("score", many, "-f", "csv", "--batch-size", str(size)) for size in sizes])
    return dict(zip(sizes, results, strict=True))


@pytest.mark.parametrize("size", [1, 3, 16])
def test_rows_come_in_input_order(batches, many, size):
    assert batches[size].code == 0, batches[size].err
    assert [row["image"] for row in batches[size].csv_rows] == [f"{many}/{i}.png" for i in range(40)]


@pytest.mark.parametrize("size", [3, 16])
def test_scores_do_not_depend_on_the_batch(batches, size):
    alone = _scores(batches[1].csv_rows)
    assert len(set(alone.values())) == 40  # so that exchanged rows would be seen
    assert _scores(batches[size].csv_rows) == pytest.approx(alone, abs=1e-5)


@pytest.fixture(scope="module")
def sorted_runs(grmp, many, tmp_path_factory):
    """Images and two missing files in each order; and a mixture of everything that names images."""
    folder = tmp_path_factory.mktemp("sorted")
    (folder / "deep" / "deeper").mkdir(parents=True)
    for index, place in enumerate(["deep", "deep/deeper", "globbed", "listed", "listed"]):
        (folder / place).mkdir(exist_ok=True)
        (folder / place / f"img{index}.png").symlink_to(many / f"{index}.png")
    orders = ("worst", "name")
    files = ("gone.png", "deep", "also gone.png", "listed", "globbed")
    mixture = ("score", "deep", "glob*/*.png", "-", "--flat", "-f", "csv")
    *results, mixed = grmp.in_pairs(
        *[("score", *files, "-f", "json", "--sort", order) for order in orders],
        (*mixture, {"stdin": b"listed/img4.png\0listed/img3.png\0"}),
        cwd=folder,
    )
    return {order: result.json["images"] for order, result in zip(orders, results, strict=True)}, mixed


def test_sort_by_score_puts_errors_last(sorted_runs):
    scores = [row["score"] for row in sorted_runs[0]["worst"]]
    assert len(scores) == 7
    assert scores[:5] == sorted(scores[:5])
    assert scores[5:] == [None, None]


def test_sort_by_name(sorted_runs):
    names = [row["image"] for row in sorted_runs[0]["name"] if row["error"] is None]
    assert len(names) == 5
    assert names == sorted(names)


def test_folders_flat_patterns_and_standard_input(sorted_runs):
    _, mixed = sorted_runs
    assert mixed.code == 0, mixed.err
    names = [row["image"] for row in mixed.csv_rows]
    assert names == ["deep/img0.png", "globbed/img2.png", "listed/img4.png", "listed/img3.png"]


# Files that cannot be read


@pytest.fixture(scope="module")
def around_broken(forked, tmp_path_factory):
    """A folder full of broken files that also contains itself, twice, scored as JSON and as a table."""
    folder = tmp_path_factory.mktemp("around") / "broken"
    kinds = make_broken_folder(folder)
    (folder / "itself").symlink_to(".")
    (folder / "nested" / "above").symlink_to("..")
    shown = forked.each(("score", folder, "-f", "json"), ("score", folder))
    return folder, kinds, *shown


def test_broken_files_have_rows_with_reasons_and_good_ones_scores(around_broken):
    folder, kinds, result, _ = around_broken
    rows = {os.path.relpath(row["image"], folder): row for row in result.json["images"]}
    assert rows.keys() == {name for name, kind in kinds.items() if kind != "ignored"}
    for name, row in rows.items():
        if kinds[name] == "ok":
            assert 0 <= row["score"] <= 1, name
            assert row["error"] is None, name
        else:
            assert row["score"] is None, name
            assert row["error"].strip(), name
    assert rows["GOOD2.PNG"]["score"] == pytest.approx(rows["brackets[1].png"]["score"], abs=1e-5)


def test_broken_files_end_in_exit_code_3_and_nothing_but_our_summary(around_broken):
    _, kinds, *results = around_broken
    for result in results:
        assert result.code == 3
        (summary,) = result.err.splitlines()
        assert SUMMARY.fullmatch(summary)
        failed = sum(kind not in ("ok", "ignored") for kind in kinds.values())
        assert f", {failed} failed" in summary


def test_table_shows_the_reasons(around_broken):
    _, kinds, _, result = around_broken
    rows = _table_rows(result.text)
    assert len(rows) == sum(kind != "ignored" for kind in kinds.values())
    for _, score, reason in rows:
        assert bool(score) != bool(reason)
    assert "empty file" in result.text


# Models and precision


@pytest.fixture(scope="module")
def model_runs(forked, many, tmp_path_factory):
    """A checkpoint of the test's own, whose scores must be 1 minus the embedded model's, and bfloat16."""
    folder = tmp_path_factory.mktemp("model")
    checkpoint = find_checkpoint("grmp_iqa-tiny")
    config = dataclasses.replace(checkpoint.config, quality_texts=checkpoint.config.quality_texts[::-1])
    info = {"licence": "none", "note": "[bold]not markup[/]"}
    write_checkpoint(
        dataclasses.replace(checkpoint, config=config, info=info), folder / "[red]mine.safetensors"
    )
    photos = f"{many}/1?.png"
    own, table, bf16 = forked.each(
        ("score", photos, "-f", "json", "--model", "[red]mine.safetensors", "--sort", "best"),
        ("models", "info", "[red]mine.safetensors"),
        ("score", photos, "-f", "json", "--precision", "bf16", "--device", "cpu"),
        cwd=folder,
    )
    return {"own": own, "info": table, "bf16": bf16}


def test_own_model(model_runs, batches, many):
    assert model_runs["own"].code == 0, model_runs["own"].err
    document = model_runs["own"].json
    assert document["run"]["model"] == "[red]mine.safetensors"
    expected = _scores(batches[16].csv_rows)
    scores = _scores(document["images"])
    assert len(scores) == 10
    assert list(scores.values()) == sorted(scores.values(), reverse=True)  # as --sort best wants it
    for name, score in scores.items():
        assert score == pytest.approx(1 - expected[name], abs=1e-5)


def test_bfloat16_is_close(model_runs, batches):
    assert model_runs["bf16"].code == 0, model_runs["bf16"].err
    document = model_runs["bf16"].json
    assert document["run"]["precision"] == "bf16"
    expected = _scores(batches[16].csv_rows)
    for name, score in _scores(document["images"]).items():
        assert score == pytest.approx(expected[name], abs=0.01)


def test_info_of_own_model(model_runs):
    result = model_runs["info"]
    assert result.code == 0, result.err
    assert "[red]mine.safetensors" in result.text
    assert "[bold]not markup[/]" in result.text
    assert "'low quality.', 'high quality.'" in result.text


def test_models(singles):
    table, listed, info = singles["models"], singles["models as JSON"], singles["info"]
    assert table.code == listed.code == info.code == 0
    assert table.err == listed.err == info.err == ""
    for words in (
        "grmp_iqa-tiny",
        "(default)",
        "ViT-B-16-quickgelu",
        "MIT",
        "Apache-2.0",
        "ratings of 581",
    ):
        assert words in table.text
    models = {row["model"]: row for row in listed.json}
    assert models.keys() == {"grmp_iqa-tiny", "grmp_iqa-tiny-meta", "grmp_iqa"}
    assert models["grmp_iqa-tiny"]["here"]
    assert models["grmp_iqa-tiny"]["default"]
    assert Path(models["grmp_iqa-tiny"]["file"]).is_file()
    assert not models["grmp_iqa"]["here"]
    assert "zzhowe/GRMP-IQA" in models["grmp_iqa"]["source"]
    assert all(row["licence"] and row["trained_on"] and row["backbone"] for row in models.values())
    rows = singles["models as CSV"].csv_rows
    assert [row["model"] for row in rows] == list(models)
    assert list(rows[0]) == list(listed.json[0])
    facts = {row["name"]: row["value"] for row in singles["info as CSV"].csv_rows}
    assert facts["sha256"] == info.json["sha256"]
    assert facts["info.licence"] == "Apache-2.0"
    assert re.fullmatch("[0-9a-f]{64}", info.json["sha256"])
    assert info.json["parameters"] > 100_000
    assert info.json["info"]["licence"] == "Apache-2.0"
    assert info.json["config"]["quality_texts"] == ["high quality.", "low quality."]


# Wrong usage, and files that are no checkpoints


@pytest.fixture
def one(tmp_path, many) -> Path:
    """A folder with one image, `one.png`, a list of it, and an empty folder."""
    (tmp_path / "one.png").symlink_to(many / "1.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("image\none.png\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one.png", "--out", "scores.xls"], [".xls", ".csv", ".json", ".jsonl", ".parquet"]),
        (["one.png", "--out", "gone/scores.csv"], ["gone", "does not exist"]),
        (["one.png", "--batch-size", "0"], ["--batch-size"]),
        (["one.png", "--batch-size", "many"], ["--batch-size"]),
        (["one.png", "--device", "tpu"], ["--device", "cuda"]),
        (["one.png", "--fromat", "csv"], ["--fromat", "--format"]),
        (["one.png", "--mos-range", "1", "5"], ["--mos-range", "--scale mos"]),
        (["empty"], ["empty", "no images", ".jpg"]),
        (["list.csv"], ["'list.csv' is not an image", "--out"]),
        (["*.jpg"], ["*.jpg"]),
        (["-"], ["standard input"]),
        ([""], ["empty path"]),
        ([], ["PATHS"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in ("one.png", "empty") else None,
)
def test_wrong_usage(grmp, one, arguments, said):
    result = grmp("score", *arguments, cwd=one)
    assert result.code == 2
    assert result.out == b""
    for words in said:
        assert words in result.err
    _assert_no_traceback(result)


@pytest.fixture(scope="module")
def singles(grmp, forked, many, photographs):
    """Runs that have nothing in common but that each takes a while."""
    one, timed = many / "1.png", {"environment": {"PYTHONPROFILEIMPORTTIME": "1"}}
    runs = {
        "unknown model": ("score", one, "--model", "grmp_iqa-tini"),
        "no CUDA": ("score", one, "--device", "cuda"),
        "unwritable": ("score", one, "--out", "/proc/scores.csv", timed),
        "imports": ("score", one, "-f", "csv", timed),
        "latin-1": ("score", "photos", {"environment": {"PYTHONIOENCODING": "latin-1"}}),
        "models": ("models",),
        "models as JSON": ("models", "--format", "json"),
        "models as CSV": ("models", "--format", "csv"),
        "info": ("models", "info", "grmp_iqa-tiny", "--format", "json"),
        "info as CSV": ("models", "info", "grmp_iqa-tiny", "--format", "csv"),
        "no scale": ("score", one, "--scale", "mos"),
    }
    fresh = {name: call for name, call in runs.items() if isinstance(call[-1], dict)}
    cheap = {name: call for name, call in runs.items() if name not in fresh}
    return {
        **dict(zip(fresh, grmp.in_pairs(*fresh.values(), cwd=photographs), strict=True)),
        **dict(zip(cheap, forked.each(*cheap.values(), cwd=photographs), strict=True)),
    }


def test_wrong_usage_that_needs_a_closer_look(singles):
    for result in (singles["unknown model"], singles["no CUDA"]):
        assert result.code == 2
        assert result.out == b""
        assert len(result.err.splitlines()) == 1
        _assert_no_traceback(result)
    assert "Did you mean 'grmp_iqa-tiny'" in singles["unknown model"].err
    assert "'cuda' is not available" in singles["no CUDA"].err


def test_predicted_mos_needs_a_scale(singles):
    result = singles["no scale"]
    assert result.code == 2
    assert result.out == b""
    assert "grmp_iqa-tiny does not record the scale of its ratings" in result.err
    assert "--mos-range LOW HIGH" in result.err


def test_out_that_cannot_be_written_is_refused_before_any_work(singles):
    if not Path("/proc/self").exists():
        pytest.skip("needs a folder in which even the administrator cannot write")
    result = singles["unwritable"]
    assert result.code == 2
    assert "/proc" in result.err
    assert "torch" not in _imported(result)


@pytest.fixture(scope="module")
def bad_checkpoints(forked, many, tmp_path_factory):
    """What scoring says to files that are no checkpoints, by kind."""
    folder = tmp_path_factory.mktemp("checkpoints")
    embedded = Path(find_checkpoint("grmp_iqa-tiny").source).read_bytes()
    (folder / "cut.safetensors").write_bytes(embedded[: len(embedded) // 2])
    torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
    torch.save({"weight": torch.zeros(2, 2)}, folder / "foreign.pt")
    (folder / "page.pt").write_text("<!DOCTYPE html><html><title>Sign in</title></html>\n")
    names = ("cut.safetensors", "module.pt", "foreign.pt", "page.pt")
    calls = [("score", many / "1.png", "-m", name) for name in names]
    results = forked.each(*calls, ("score", many / "1.png", "-m", "."), cwd=folder)
    return dict(zip((*names, "."), results, strict=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cut.safetensors", "not a readable checkpoint"),
        ("module.pt", "run code"),
        ("foreign.pt", "neither a checkpoint of this project"),
    ],
)
def test_bad_checkpoint(bad_checkpoints, name, said):
    result = bad_checkpoints[name]
    assert result.code == 1
    assert result.out == b""
    assert name in result.err
    assert said in result.err
    _assert_no_traceback(result)


def test_a_web_page_is_not_taken_for_a_pickled_module(bad_checkpoints):
    result = bad_checkpoints["page.pt"]
    assert result.code == 1
    assert "page.pt" in result.err
    assert "not a readable checkpoint" in result.err
    assert "module" not in result.err


def test_a_folder_as_model_is_called_a_folder(bad_checkpoints):
    result = bad_checkpoints["."]
    assert result.code in (1, 2)
    assert "folder" in result.err
    _assert_no_traceback(result)


# Names that hold anything


@pytest.fixture(scope="module")
def odd(grmp, odd_names):
    """Images with names of any bytes, in every format; and the same names through a pipe."""
    names = b"".join(
        b"photos/" + name + b"\0" for name in sorted(os.listdir(os.fsencode(odd_names / "photos")))
    )
    table, as_json, piped = grmp.in_pairs(
        ("score", "photos", "-f", "table", "--out", "scores.csv"),
        ("score", "photos", "-f", "json", "--out", "scores.parquet"),
        ("score", "-", "-f", "jsonl", "--out", "scores.json"),
        cwd=odd_names,
        stdin=names,
    )
    return {"table": table, "json": as_json, "jsonl": piped, "names": names.split(b"\0")[:-1]}


def test_odd_names_are_scored(odd):
    for shown in ("table", "json", "jsonl"):
        assert odd[shown].code == 0
        _assert_no_traceback(odd[shown])
        assert odd[shown].err.startswith("4 images, 0 failed")


def test_odd_names_leave_the_table_in_order(odd):
    rows = _table_rows(odd["table"].out.decode())
    assert len(rows) == 4
    assert all(re.fullmatch(r"0\.\d{4}", score) for _, score in rows)


@pytest.mark.parametrize("where", ["out", "err"])
def test_odd_names_do_not_control_the_terminal(odd, where):
    shown = getattr(odd["table"], where)
    text = shown if isinstance(shown, str) else shown.decode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


@pytest.mark.parametrize("shown", ["json", "jsonl"])
def test_odd_names_in_json_are_valid_and_lead_back_to_the_file(odd, shown):
    text = odd[shown].out.decode()  # JSON is UTF-8, always
    rows = json.loads(text)["images"] if shown == "json" else [json.loads(line) for line in text.splitlines()]
    assert sorted(os.fsencode(row["image"]) for row in rows) == odd["names"]


def test_odd_names_in_json_file_are_valid(odd, odd_names):
    rows = json.loads((odd_names / "scores.json").read_text(encoding="utf-8"))["images"]
    assert sorted(os.fsencode(row["image"]) for row in rows) == odd["names"]


def test_odd_names_in_csv_lead_back_to_the_file(odd, odd_names):
    import csv

    with (odd_names / "scores.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    assert {len(row) for row in rows} == {len(header)}
    assert sorted(os.fsencode(row[0]) for row in rows) == odd["names"]


def test_odd_names_in_parquet(odd, odd_names):
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(odd_names / "scores.parquet").to_pylist()
    names = [row["image"].encode() for row in rows]
    assert len(set(names)) == 4
    # Arrow's text is UTF-8.
    assert set(odd["names"]) - set(names) == {b"photos/\x1b[31mlatin\xe9.png"}
    assert set(names) - set(odd["names"]) == {b"photos/\x1b[31mlatin\\udce9.png"}


# Where the output goes


def test_output_that_cannot_show_a_name(singles):
    result = singles["latin-1"]
    assert result.code == 0
    _assert_no_traceback(result)
    assert result.out.count(b"photos/") == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_ends_in_a_message(grmp, many):
    with Path("/dev/full").open("wb") as full:
        process = grmp.start("score", many / "1.png", "-f", "csv", stdout=full, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert b"No space left" in err


@pytest.mark.parametrize("shown", ["csv", "table"])
def test_reader_that_stops_early(grmp, long_run, shown):
    # The table comes when all is scored: a few images, then.
    photos = long_run / "photos" if shown == "csv" else long_run / "photos" / "1?.png"
    process = grmp.start(
        "score", photos, "-f", shown, "--batch-size", "4", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.wait(timeout=60)
    assert first.startswith(b"image,score" if shown == "csv" else b"grmp_iqa-tiny")
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert "BrokenPipe" not in err
    if shown == "csv":
        assert "3000 images" not in err  # it stopped, too


def test_reader_that_stops_early_in_help(grmp):
    process = grmp.start("score", "--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(timeout=60)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_a_partial_file_and_no_complete_one(grmp, long_run, tmp_path, number, code):
    out = tmp_path / "scores.csv"
    process = grmp.start(
        *("score", long_run / "photos", "-f", "csv", "--out", out, "--batch-size", "4"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # communicate() does not see what readline() has read ahead
    )
    lines = [process.stdout.readline() for _ in range(11)]
    process.send_signal(number)
    try:
        stdout, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code
    assert b"Traceback" not in err
    assert b"interrupted after" in err
    assert [path.name for path in tmp_path.iterdir()] == ["scores.partial.csv"]
    header, *rows = (tmp_path / "scores.partial.csv").read_bytes().splitlines(keepends=True)
    assert header == lines[0]
    assert 10 <= len(rows) < 3000
    printed = [*lines[1:], *stdout.splitlines(keepends=True)]
    assert rows[: len(printed)] == printed
    assert len(rows) - len(printed) in (0, 1)  # one may be kept and not printed yet
    assert "scores.partial.csv" in err.decode()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="shows what a process has loaded on Linux")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_while_torch_is_imported(grmp, long_run, tmp_path, number, code):
    process = grmp.start(
        *("score", long_run / "photos", "--out", tmp_path / "scores.csv"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while "libtorch_cpu" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.decode().strip() == "error: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_while_drawing_maps_leaves_whole_maps_and_the_scores(
    grmp, photographs, tmp_path, number, code
):
    (tmp_path / "photos").mkdir()
    for index in range(40):
        (tmp_path / "photos" / f"{index}.png").symlink_to(next((photographs / "photos").glob("*.png")))
    maps, out = tmp_path / "maps", tmp_path / "scores.csv"
    process = grmp.start(
        *("score", tmp_path / "photos", "--out", out, "--maps", maps),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not list(maps.glob("*.map.png")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code
    assert b"Traceback" not in err
    assert f"interrupted while drawing quality maps; those that are complete are in {maps}" in err.decode()
    assert len(out.read_text().splitlines()) == 41
    drawn = sorted(maps.iterdir())
    assert 1 <= len(drawn) < 40
    for path in drawn:
        assert path.name.endswith(".map.png")
        with Image.open(path) as picture:
            picture.load()


# Terminals


def _on_terminal(grmp, *arguments, stdout_too: bool) -> tuple[int, str, bytes]:
    """Run with stderr, and stdout if wanted, on a terminal: exit code, what it showed, piped stdout."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    out = terminal if stdout_too else subprocess.PIPE
    process = grmp.start(
        *arguments, environment={"TERM": "xterm"}, stdin=terminal, stdout=out, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            block = os.read(controller, 1 << 16)
        except OSError:  # Linux says so when the other side is closed
            break
        if not block:
            break
        shown += block
    os.close(controller)
    piped = b"" if stdout_too else process.stdout.read()
    return process.wait(timeout=60), shown.decode(), piped


def _screen(shown: str) -> list[str]:
    """The lines of a terminal after what was sent to it; only movements that progress bars use."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", shown):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b["):
            if part.endswith("A"):
                row = max(0, row - int(part[2:-1] or 1))
            elif part == "\x1b[2K":
                lines[row] = ""
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return lines


@pytest.fixture(scope="module")
def on_terminal(grmp, long_run):
    """Scoring 10 images in small batches: rows to a pipe, and rows to the terminal of the progress bar."""
    arguments = ("score", long_run / "photos" / "10?.png", "-f", "csv", "--batch-size", "4")
    return {both: _on_terminal(grmp, *arguments, stdout_too=both) for both in (False, True)}


def test_progress_bar_on_a_terminal(on_terminal):
    code, shown, piped = on_terminal[False]
    assert code == 0
    assert "10/10" in shown
    assert re.search(r"[0-9.]+/s", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert piped.count(b"\n") == 11
    assert b"\x1b" not in piped
    (last,) = [line for line in _screen(shown) if line.strip()]  # the bar has gone
    assert SUMMARY.fullmatch(last.strip())


def test_rows_and_progress_bar_on_one_terminal(on_terminal, long_run):
    code, shown, _ = on_terminal[True]
    assert code == 0
    lines = [line.strip() for line in _screen(shown) if line.strip()]
    assert lines[0] == "image,score,error"
    assert len(lines) == 12  # header, rows, summary; and nothing of the bar
    for index, line in enumerate(lines[1:-1]):
        assert line.startswith(f"{long_run}/photos/10{index}.png,")


# Speed and imports


def _median_seconds(command: list, environment: dict[str, str]) -> float:
    """CPU time of a command; the time by the clock depends on what else the machine does."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)


def test_help_is_quick(grmp):
    program = Path(sys.executable).with_name("grmp")
    assert _median_seconds([program, "--help"], grmp.environment) < 0.5


@pytest.mark.parametrize("arguments", [("--help",), ("score", "--help"), ("--version",)], ids=" ".join)
def test_help_and_version_import_nothing_heavy(grmp, arguments):
    result = grmp(*arguments, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.code == 0
    imported = _imported(result)
    assert "grmp_plugin" in imported
    assert not {"torch", "pyiqa", "open_clip", "numpy", "PIL.Image", "huggingface_hub"} & imported


def test_score_leaves_pyiqa_alone(singles):
    result = singles["imports"]
    assert result.code == 0
    imported = _imported(result)
    assert "torch" in imported
    assert not {"pyiqa", "matplotlib", "pandas"} & imported


def test_help_says_what_is_needed(grmp):
    top, score, version = grmp.in_pairs(("--help",), ("score", "-h"), ("--version",))
    for command in ("score", "models", "pyiqa"):
        assert command in top.text
    for option in (
        "--model",
        "--device",
        "--precision",
        "--batch-size",
        "--format",
        "--out",
        "--sort",
        "--flat",
    ):
        assert option in score.text
    assert "Exit codes" in score.text
    names = [line.split()[0] for line in version.text.splitlines()]
    assert names[0] == "grmp-iqa"
    assert {"torch", "open_clip_torch", "pyiqa", "python"} <= set(names)
    assert top.err == score.err == version.err == ""


# A page and maps


def test_report_and_maps(grmp, photographs, tmp_path):
    folder, page = tmp_path / "maps", tmp_path / "page.html"
    result = grmp("score", "photos", "--report", page, "--maps", folder, "--format", "json", cwd=photographs)
    assert result.code == 0, result.err
    assert len(list(folder.glob("*.map.png"))) == len(result.json["images"]) == 5
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") >= 10  # five photographs and their maps
    for row in result.json["images"]:
        assert f"{row['score']:.3f}" in text
    date = result.json["run"]["date"]
    assert f"{date[:10]} {date[11:16]}" in text


def test_places_of_report_and_maps_are_checked_first(grmp, photographs, tmp_path):
    (tmp_path / "file").touch()
    wrong, no_folder, a_file = grmp.in_pairs(
        ("score", "photos", "--report", tmp_path / "page.pdf"),
        ("score", "photos", "--report", tmp_path / "gone" / "page.html"),
        ("score", "photos", "--maps", tmp_path / "file"),
        cwd=photographs,
    )
    assert [result.code for result in (wrong, no_folder, a_file)] == [2, 2, 2]
    assert "page.html" in wrong.err
    assert "does not exist" in no_folder.err
    assert "name a folder" in a_file.err
