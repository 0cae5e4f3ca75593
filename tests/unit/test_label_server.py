"""The page's server: many raters at once, and requests that do not come from the page."""

import csv
import http.client
import json
import random
import re
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import grmp_plugin
from grmp_plugin.data.images import read_image
from grmp_plugin.errors import InputError
from grmp_plugin.labelling.app import content_policy, page_text
from grmp_plugin.labelling.guard import MOST_BYTES
from grmp_plugin.labelling.server import LabelServer
from grmp_plugin.labelling.store import Store

VOTE = {"value": 3, "seconds": 1.5, "width": 800, "height": 600, "ratio": 2}


class Page:
    """Sends what the page sends, or what it never would.

    Args:
        url: The page's address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.base, self.token = parts.netloc, parts.path, ""

    def __call__(
        self,
        path: str,
        data: Any = None,
        *,
        method: str | None = None,
        base: str | None = None,
        **headers: str | None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers of an answer; a header of None is not sent."""
        body = data if isinstance(data, bytes) else None if data is None else json.dumps(data).encode()
        sent = {"host": self.host, "origin": f"http://{self.host}", "x_rater": self.token} | headers
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(
                method or ("GET" if body is None else "POST"),
                (self.base if base is None else base) + path,
                skip_host=True,
                skip_accept_encoding=True,
            )
            if body is not None and "transfer_encoding" not in headers:
                connection.putheader("content-length", str(len(body)))
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            if body is not None:
                connection.send(body)
            answer = connection.getresponse()
            content, found = answer.read(), dict(answer.getheaders())
        finally:
            connection.close()
        plain = json.loads(content) if "json" in found.get("content-type", "") else content
        return answer.status, plain, found

    def enter(self, name: str) -> dict[str, Any]:
        """Enter under a name; where the rater stands."""
        status, answer, _ = self("enter", {"name": name})
        assert status == 200, answer
        self.token = answer["token"]
        return self("state")[1]


def session(folder: Path, pictures: int, *, pairs: bool = False) -> Store:
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    paths = []
    for number in range(pictures):
        paths.append(str(folder / "photos" / f"secret name {number}.png"))
        Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(paths[-1])
    return Store.create(folder / "r.session.sqlite", paths, paths[:5], pairs=pairs, seed=0)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Page]:
    """A running server of ten pictures."""
    store = session(tmp_path, 10)
    with LabelServer(store, tmp_path / "r.csv") as server:
        yield Page(server.url)
    store.close()


def test_a_thousand_votes_of_twenty_raters_at_once(tmp_path: Path) -> None:
    store = session(tmp_path, 50)
    expected: dict[str, list[int]] = {}

    def rate(number: int) -> int:
        chance, page = random.Random(number), Page(server.url)
        name = f"rater {number}"
        state = page.enter(name)
        own: list[tuple[int, int]] = []
        while state["task"] is not None:
            value = chance.randint(1, 5)
            data = VOTE | {"task": state["task"], "value": value}
            state = page("vote", data)[1]
            if chance.random() < 0.2:  # the answer was lost, and the page asks again
                status, again, _ = page("vote", data | {"value": 1})
                assert (status, again) == (200, state)
            own.append((data["task"], value))
            if chance.random() < 0.1:
                state = page("undo", {})[1]
                own.pop()
        expected[name] = [value for _, value in own[5:]]
        return len(own)

    with LabelServer(store, tmp_path / "r.csv") as server, ThreadPoolExecutor(20) as pool:
        done = list(pool.map(rate, range(20)))
    assert done == [5 + 50 + 5] * 20
    rows = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert len(rows) == 20 * 55
    for name, values in expected.items():
        assert [int(row["rating"]) for row in rows if row["rater"] == name] == values
        assert len({row["image"] for row in rows if row["rater"] == name and row["repeat"] == "0"}) == 50
    connection = sqlite3.connect(store.path)
    (count,) = connection.execute("SELECT count(*) FROM vote WHERE NOT undone").fetchone()
    connection.close()
    store.close()
    assert count == 20 * 60


def test_the_page_loads_nothing_else(served: Page) -> None:
    status, page, headers = served("")
    assert status == 200
    assert page.decode() == page_text()
    policy = headers["content-security-policy"]
    assert policy == content_policy(page_text())
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert all(address.startswith("data:") for address in _addresses(page_text()))


def _addresses(page: str) -> list[str]:
    return re.findall(r"(?:src|href|action)=\"([^\"]*)\"", page)


def test_pictures_are_what_is_scored_without_names_or_metadata(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    path = str(tmp_path / "turned.jpg")
    store = Store.create(tmp_path / "r.session.sqlite", [path], [], pairs=False, seed=0)
    with LabelServer(store, tmp_path / "r.csv") as server:
        page = Page(server.url)
        state = page.enter("Ada")
        status, content, headers = page(f"picture/{state['task']}/0")
    store.close()
    assert (status, headers["content-type"]) == (200, "image/png")
    assert b"camera" not in content
    assert b"turned" not in content + json.dumps(headers).encode()
    (tmp_path / "shown.png").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "shown.png"), read_image(path))
    assert read_image(path).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("code", "options"),
    [
        (403, {"host": "evil.example"}),
        (403, {"host": "evil.example:80"}),
        (403, {"host": None}),
        (403, {"origin": "http://evil.example"}),
        (403, {"origin": "null"}),
        (403, {"origin": "https://127.0.0.1.evil.example"}),
        (404, {"base": "/"}),
        (404, {"base": "/wrong/"}),
        (404, {"base": "/wrong%2f..%2f"}),
        (405, {"method": "DELETE"}),
        (405, {"method": "PUT"}),
        (401, {"x_rater": "wrong"}),
        (401, {"x_rater": ""}),
        (401, {"x_rater": "' OR 1=1 --"}),
    ],
)
def test_requests_that_are_not_the_pages_are_refused(
    served: Page, code: int, options: dict[str, Any]
) -> None:
    served.enter("Ada")
    for path, data in (("state", None), ("vote", VOTE | {"task": 1})):
        status, answer, headers = served(path, None if options.get("method") else data, **options)
        # Without a host HTTP itself refuses.
        assert status in ((400, 403) if options.get("host", "") is None else (code,)), answer
        if status != 400:
            assert "access-control-allow-origin" not in headers
            assert headers["content-security-policy"].startswith("default-src 'none'")
    assert served("state")[1]["done"] == 0


def test_a_post_needs_an_origin(served: Page) -> None:
    served.enter("Ada")
    assert served("undo", {}, origin=None)[0] == 403
    assert served("state", origin=None)[0] == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "10.1.2.3"])
def test_own_names_and_addresses_are_known(served: Page, host: str) -> None:
    assert served("", host=f"{host}:8000", origin=f"http://{host}:8000")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        *("picture/0/0", "picture/-1/0", "picture/1/7", "picture/99999999999999999999999/0", "picture/1"),
        *("picture/../../../../etc/passwd/0", "picture/%2e%2e/%2e%2e/etc/passwd", "picture//etc/passwd/0"),
        *("picture/", "r.csv", "r.session.sqlite", "photos/", "../", "%00", "picture/1/0/"),
    ],
)
def test_nothing_but_own_pictures_by_number_is_served(served: Page, path: str) -> None:
    served.enter("Ada")
    status, content, _ = served(path)
    # One slash too many leads back to where it is without.
    assert status == (307 if path == "picture/1/0/" else 404), content
    assert b"secret name" not in json.dumps(content, default=str).encode()


def test_pictures_of_other_raters_are_not_served(served: Page) -> None:
    first = served.enter("Ada")["task"]
    second = served.enter("Bo")["task"]
    assert served(f"picture/{second}/0")[0] == 200
    assert served(f"picture/{first}/0")[0] == 404


def test_what_is_posted_is_small(served: Page) -> None:
    served.enter("Ada")
    large = b'{"name": "' + b"x" * MOST_BYTES + b'"}'
    assert served("enter", large)[0] == 413
    # In pieces, so that nothing announces the size.
    pieces = b"".join(f"{len(large):x}\r\n".encode() + large + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
    assert served("enter", pieces, transfer_encoding="chunked")[0] == 413
    # Announced and never sent.
    assert served("vote", b"{}", method="POST", content_length="1000000000")[0] in (400, 413)
    assert served("state")[0] == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 4000, b'{"task": 1}', b'{"task": "1"}', b'"vote"'],
)
def test_bodies_that_are_no_votes(served: Page, body: bytes) -> None:
    served.enter("Ada")
    assert served("vote", body, method="POST")[0] == 400
    assert served("state")[1]["done"] == 0


@pytest.mark.parametrize(
    "change",
    [
        *({"value": value} for value in (0, 6, 3.0, "3", True, [3], 10**30)),
        *({"seconds": value} for value in (-1, "1", None, 1e99, True)),
        *({"width": value} for value in (-1, 1.5, 10**9, None)),
        *({"ratio": value} for value in (-1, 1e9, "2")),
        *({"task": value} for value in (-1, None, "1", 10**30, 1.0)),
    ],
)
def test_votes_that_no_page_casts(served: Page, change: dict[str, Any]) -> None:
    state = served.enter("Ada")
    assert served("vote", VOTE | {"task": state["task"]} | change)[0] == 400
    assert served("state")[1] == state


def test_not_a_number_is_no_time(served: Page) -> None:
    state = served.enter("Ada")
    for value in ("NaN", "Infinity"):
        body = json.dumps(VOTE | {"task": state["task"]}).replace("1.5", value).encode()
        assert served("vote", body)[0] == 400


def test_votes_out_of_turn_are_refused_and_say_what_comes_next(served: Page) -> None:
    state = served.enter("Ada")
    status, answer, _ = served("vote", VOTE | {"task": state["following"]})
    assert (status, answer) == (409, state)


@pytest.mark.parametrize(
    "name",
    [
        *("<script>alert(1)</script>", "<b>Bo", "a\nb\0", "=1+1", "@cmd", "+1", "-1", "", "   ", "x" * 41),
        *('"quoted"', "a,b", "a;b", "../../etc", "\u202eevil", "a\tb\x1b[31m", None, 5, ["Ada"], "\ud800"),
    ],
)
def test_names_that_could_do_harm_are_refused(served: Page, name: Any) -> None:
    status, answer, _ = served("enter", {"name": name})
    assert status == 400, answer


@pytest.mark.parametrize(
    "name", ["Ada", "Ada Lovelace", "O'Neil-2 jr.", "\u00c5sa", "\u5f20\u4f1f", "\u0905\u0928\u093f\u0932"]
)
def test_names_of_people_are_taken(served: Page, name: str) -> None:
    assert served.enter(name)["name"] == name
    status, answer, _ = served("enter", {"name": f"  {name.upper()} "})
    assert (status, answer) == (409, {"error": "known"})
    token = served.token
    assert served("enter", {"name": name, "back": True})[1]["token"] == token


def test_a_server_that_starts_again_is_found_by_open_pages(tmp_path: Path) -> None:
    store = session(tmp_path, 6)
    with LabelServer(store, tmp_path / "r.csv") as server:
        first = server.url
        page = Page(first)
        page.enter("Ada")
    with LabelServer(store, tmp_path / "r.csv") as server:
        assert server.url == first
        assert page("state")[0] == 200
    # Somebody else has the port now.
    with (
        socket.create_server(("127.0.0.1", urlsplit(first).port or 0)),
        LabelServer(store, tmp_path / "r.csv") as server,
    ):
        assert server.url != first
        assert Page(server.url)("")[0] == 200
    store.close()


def test_addresses_that_cannot_be_listened_on(tmp_path: Path) -> None:
    store = session(tmp_path, 6)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError) as caught:
        LabelServer(store, tmp_path / "r.csv", port=taken.getsockname()[1])
    assert caught.value.argument == "port"
    for host in ("no.such.host.invalid", "192.0.2.1"):
        with pytest.raises(InputError) as caught:
            LabelServer(store, tmp_path / "r.csv", host=host)
        assert caught.value.argument == "host"
    store.close()


def test_all_addresses_give_one_that_colleagues_can_type(tmp_path: Path) -> None:
    store = session(tmp_path, 6)
    with LabelServer(store, tmp_path / "r.csv", host="0.0.0.0") as server:
        assert "0.0.0.0" not in server.url
        assert store.secret in server.url
        assert len(store.secret) >= 24
        assert Page(server.url)("")[0] == 200
    store.close()


def test_label_serves_until_it_is_interrupted_and_recovers_mos(tmp_path: Path) -> None:
    session(tmp_path, 8).close()  # only for its pictures
    (tmp_path / "r.session.sqlite").unlink()

    def rate(url: str) -> None:
        page = Page(url)
        state = page.enter("Ada")
        while state["task"] is not None:
            state = page("vote", VOTE | {"task": state["task"], "value": state["task"] % 5 + 1})[1]
        raise KeyboardInterrupt

    found = grmp_plugin.label(
        str(tmp_path / "photos"), tmp_path / "r.csv", count=8, browser=False, announce=rate
    )
    assert found is not None
    assert len(found) == 8
    assert found.raters[0].rater == "Ada"

    def leave(url: str) -> None:
        raise KeyboardInterrupt

    assert grmp_plugin.label(None, tmp_path / "r.csv", browser=False, announce=leave).rows == found.rows
    photos = str(tmp_path / "photos")
    assert grmp_plugin.label(photos, tmp_path / "n.csv", count=2, browser=False, announce=leave) is None
