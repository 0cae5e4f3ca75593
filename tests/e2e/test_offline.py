"""`grmp_iqa`, whose weights must be fetched: without a network, from the cache, and from a hub."""

import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY, FILE = "zzhowe/GRMP-IQA", "clive_50_prompt_lda_5.0.pt"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
URL_PATH = f"/{REPOSITORY}/resolve/main/{FILE}"

# Both ways of asking for the model in one process, each timed from the moment when it starts to look.
_ASK = """
import contextlib, io, time
import pyiqa, grmp_plugin
import grmp_plugin.evaluation.scoring
from huggingface_hub import get_hf_file_metadata, hf_hub_download
from grmp_cli.app import main

def create():
    metric = pyiqa.create_metric("grmp_iqa")
    return metric(sys.argv[1]).item()

def score():
    sys.argv = ["grmp", "score", sys.argv[1], "-m", "grmp_iqa", "--format", "json"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
    return json.loads(out.getvalue())["images"][0]["score"]

for ask in (create, score):
    started = time.monotonic()
    found = {"score": None, "error": None, "message": ""}
    try:
        found["score"] = ask()
    except SystemExit as end:
        found["error"] = f"exit {end.code}"
    except Exception as error:
        found["error"], found["message"] = type(error).__name__, str(error)
    result[ask.__name__] = found | {"seconds": time.monotonic() - started}
"""

# How long metrics of a comparison look for their weights, one after the other.
_COMPARE = """
import time
import pyiqa, timm
from grmp_plugin.errors import MetricError
from grmp_plugin.evaluation.metric_names import find_metrics
from grmp_plugin.evaluation.metrics import Metrics
metrics = Metrics("cpu")
for spec in find_metrics(["topiq_nr", "topiq_nr-spaq", "grmp_iqa"], references=False).metrics:
    started = time.monotonic()
    try:
        metrics.identity(spec)
        metrics.open(spec)
    except MetricError as error:
        result[spec.name] = {"message": str(error), "seconds": time.monotonic() - started}
"""


class _Hub(http.server.ThreadingHTTPServer):
    """A server on this machine that answers as the hub does, and remembers what it was asked for."""

    daemon_threads = True

    def __init__(self, content: bytes | None, *, cut_after: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _HubRequest)
        self.content = content  # of the one file; None: there is no such file
        self.cut_after = cut_after  # bytes until a download breaks off
        self.requests: list[tuple[str, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, method: str) -> int:
        """How often the file was asked for by HEAD or GET."""
        return self.requests.count((method, URL_PATH))

    def handle_error(self, request, client_address) -> None:
        """Say nothing of clients that hang up."""


class _HubRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Hub

    def do_HEAD(self) -> None:
        self.server.requests.append((self.command, self.path))
        content = self.server.content if self.path == URL_PATH else None
        if content is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: self.server.cut_after])
            self.close_connection = self.server.cut_after is not None

    do_GET = do_HEAD  # noqa: N815 - named by the base class

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def hubs(contrary_checkpoint) -> Iterator[dict[str, _Hub]]:
    content = contrary_checkpoint.read_bytes()
    servers = {"empty": _Hub(None), "whole": _Hub(content), "cut": _Hub(content, cut_after=1000)}
    yield servers
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def silent_endpoint() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def closed_endpoint() -> str:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def _fill_cache(home: Path, content: bytes) -> None:
    """Lay a file down as huggingface_hub does after a download."""
    folder = home / "huggingface" / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / FILE).write_bytes(content)


@pytest.fixture(scope="module")
def photograph(photographs) -> Path:
    return photographs / "chelsea.png"


@pytest.fixture(scope="module")
def homes(tmp_path_factory, contrary_checkpoint) -> dict[str, Path]:
    """For each case a folder with its Hugging Face cache."""
    cases = ("closed", "silent", "empty hub", "offline", "cached", "whole hub", "cut hub")
    folders = {name: tmp_path_factory.mktemp(name.replace(" ", "-")) for name in cases}
    _fill_cache(folders["cached"], contrary_checkpoint.read_bytes())
    return folders


@pytest.fixture(scope="module")
def asked(installed, photograph, homes, hubs, silent_endpoint, closed_endpoint, pairs):
    """What each case says to `create_metric('grmp_iqa')` and to `grmp score -m grmp_iqa`."""
    cases = {
        "silent": {"HF_ENDPOINT": silent_endpoint},  # first, for its time is measured most closely
        "closed": {"HF_ENDPOINT": closed_endpoint},
        "empty hub": {"HF_ENDPOINT": hubs["empty"].endpoint},
        "offline": {"HF_HUB_OFFLINE": "1"},
        "cached": {"HF_ENDPOINT": silent_endpoint},
        "whole hub": {"HF_ENDPOINT": hubs["whole"].endpoint},
        "cut hub": {"HF_ENDPOINT": hubs["cut"].endpoint},
    }
    jobs = [
        lambda name=name, setting=setting: installed.python(_ASK, photograph, home=homes[name], **setting)
        for name, setting in cases.items()
    ]
    return dict(zip(cases, pairs(*jobs), strict=True))


@pytest.fixture(scope="module")
def command(installed, photograph, homes, closed_endpoint, pairs):
    """`grmp score` as it is typed, without a network: with the large model, and with the embedded one."""
    arguments = ("grmp", "score", photograph, "--format", "json")
    large, embedded = pairs(
        lambda: installed.run(
            *arguments, "-m", "grmp_iqa", home=homes["closed"], HF_ENDPOINT=closed_endpoint
        ),
        lambda: installed.run(*arguments, home=homes["closed"], HF_ENDPOINT=closed_endpoint),
    )
    return {"grmp_iqa": large, "grmp_iqa-tiny": embedded}


@pytest.fixture(scope="module")
def expected_score(command) -> float:
    """What the checkpoint that stands for the authors' must give."""
    (row,) = json.loads(command["grmp_iqa-tiny"].stdout)["images"]
    return 1 - row["score"]


@pytest.mark.parametrize("case", ["closed", "silent", "empty hub", "offline"])
def test_fails_once_within_five_seconds(asked, case):
    assert asked[case]["create"]["error"] == "WeightsUnavailableError"
    assert asked[case]["score"]["error"] == "exit 1"
    assert asked[case]["create"]["seconds"] < 5
    assert asked[case]["score"]["seconds"] < 5


@pytest.mark.parametrize("case", ["closed", "silent", "empty hub", "offline"])
def test_message_says_what_is_missing_and_what_helps(asked, homes, hubs, case):
    message = asked[case]["create"]["message"]
    assert FILE in message
    assert URL_PATH in message
    assert str(homes[case] / "huggingface" / "hub") in message
    for way_out in ("HF_ENDPOINT", "its path as the model", "pretrained_model_path", "grmp_iqa-tiny"):
        assert way_out in message


def test_message_names_the_reason(asked, hubs):
    assert "refused" in asked["closed"]["create"]["message"]
    assert (
        "no answer" in asked["silent"]["create"]["message"]
        or "timed out" in asked["silent"]["create"]["message"]
    )
    assert "404" in asked["empty hub"]["create"]["message"]
    assert hubs["empty"].endpoint in asked["empty hub"]["create"]["message"]
    assert "HF_HUB_OFFLINE" in asked["offline"]["create"]["message"]


def test_a_hub_without_the_file_is_asked_once(asked, hubs):
    assert asked["empty hub"]  # two questions, from create_metric and from grmp score
    assert hubs["empty"].asked("HEAD") == 2
    assert hubs["empty"].asked("GET") == 0


def test_command_without_network(command):
    done = command["grmp_iqa"]
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    for part in (FILE, URL_PATH, "HF_ENDPOINT", "its path as the model", "grmp_iqa-tiny"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_embedded_model_needs_no_network(command):
    done = command["grmp_iqa-tiny"]
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["model"] == "grmp_iqa-tiny"


def test_cached_file_is_used_without_network(asked, expected_score):
    for ask in ("create", "score"):
        assert asked["cached"][ask]["error"] is None, asked["cached"][ask]["message"]
        assert asked["cached"][ask]["score"] == pytest.approx(expected_score, abs=1e-5)


def test_download_from_a_hub(asked, hubs, homes, expected_score):
    for ask in ("create", "score"):
        assert asked["whole hub"][ask]["error"] is None, asked["whole hub"][ask]["message"]
        assert asked["whole hub"][ask]["score"] == pytest.approx(expected_score, abs=1e-5)
    assert hubs["whole"].asked("GET") == 2  # first byte, then all; the second time it is in the cache
    assert list(homes["whole hub"].rglob(f"snapshots/{COMMIT}/{FILE}"))


def test_download_that_breaks_off_ends_in_our_message(asked, homes):
    found = asked["cut hub"]
    assert found["create"]["error"] == "WeightsUnavailableError"
    assert "grmp_iqa-tiny" in found["create"]["message"]
    assert found["score"]["error"] == "exit 1"
    assert not list(homes["cut hub"].rglob(f"snapshots/*/{FILE}"))


def test_comparison_asks_a_silent_hub_once_and_briefly(installed, homes, silent_endpoint):
    found = installed.python(_COMPARE, home=homes["silent"], HF_ENDPOINT=silent_endpoint)
    assert set(found) == {"topiq_nr", "topiq_nr-spaq", "grmp_iqa"}
    for name in ("topiq_nr", "topiq_nr-spaq"):
        assert "could not be downloaded" in found[name]["message"]
    assert "could not be downloaded" in found["grmp_iqa"]["message"]
    # Five seconds for the hub, and none for the metrics that come after; left alone, each takes fifty.
    assert sum(asked["seconds"] for asked in found.values()) < 25
