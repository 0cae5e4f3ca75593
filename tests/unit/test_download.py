"""How long a hub is waited for, and who is told the token; the hub is a server on this machine."""

import http.server
import threading
import time
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError

from grmp_plugin.errors import WeightsUnavailableError
from grmp_plugin.network import download
from grmp_plugin.network.download import Remote, answer_within, fetch, hub_problem, what_went_wrong


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [
        (None, 4.0),
        ("30", 30.0),
        ("0.5", 0.5),
        ("", 4.0),
        ("soon", 4.0),
        ("-1", 4.0),
        ("nan", 4.0),
        ("inf", 4.0),
    ],
)
def test_the_time_to_wait_is_the_environments(monkeypatch, setting, seconds):
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
    if setting is not None:
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", setting)
    assert answer_within() == seconds


def test_a_silent_server_is_given_up_in_that_time(monkeypatch):
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.2")
    started = time.monotonic()
    problem = what_went_wrong(lambda: time.sleep(3))
    assert time.monotonic() - started < 2
    assert "no answer within 0.2 seconds" in str(problem)
    assert "HF_HUB_ETAG_TIMEOUT" in str(problem)


class Hub(http.server.ThreadingHTTPServer):
    """Answers HEAD with metadata and, for some paths, a location elsewhere; keeps the headers it was sent."""

    daemon_threads = True

    def __init__(self, elsewhere=None):
        super().__init__(("127.0.0.1", 0), Request)
        self.elsewhere, self.seen = elsewhere, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file"


class Request(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.seen.append((self.command, self.headers.get("Authorization")))
        away = self.server.elsewhere is not None and self.command == "HEAD"
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", self.server.elsewhere.url)
        self.send_header("ETag", '"a"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", "1")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"x")

    do_GET = do_HEAD  # noqa: N815 - named by the base class

    def log_message(self, *args):
        pass


@pytest.fixture
def hubs(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    content = Hub()
    servers = [content, Hub(), Hub(elsewhere=content)]
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_hub_is_told_the_token(hubs):
    _, hub, _ = hubs
    assert hub_problem(SimpleNamespace(url=hub.url)) is None
    assert hub.seen == [("HEAD", "Bearer hf_secret"), ("GET", "Bearer hf_secret")]


def test_the_server_that_it_refers_to_is_not(hubs):
    content, _, hub = hubs
    assert hub_problem(SimpleNamespace(url=hub.url)) is None
    assert [authorization for _, authorization in hub.seen][:1] == ["Bearer hf_secret"]
    assert content.seen
    assert all(authorization is None for _, authorization in content.seen)


def test_a_hub_that_asks_who_is_there_gets_advice(monkeypatch):
    answer = SimpleNamespace(status_code=401, headers={}, request=None)
    refused = HfHubHTTPError("401 Client Error", response=answer)
    monkeypatch.setattr(download, "cached", lambda remote: None)
    for problem, advised in ((refused, True), (TimeoutError("slow"), False)):
        monkeypatch.setattr(download, "hub_problem", lambda remote, problem=problem: problem)
        with pytest.raises(WeightsUnavailableError) as caught:
            fetch(Remote("someone/gated", "weights.pt"))
        assert ("HF_TOKEN" in str(caught.value)) == advised
