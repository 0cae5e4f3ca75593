"""A real browser for tests: headless Chromium, driven through its debugging pipe."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Chromium reads commands from file 3 and writes answers to file 4.
_CONNECT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_PATIENCE = 60  # seconds


class Browser:
    """A headless Chromium with one page, and everything that the page says or asks for.

    Attributes:
        errors: console messages, exceptions and refused requests of the page that is open.
        requests: addresses that it asked for.
    """

    def __init__(self, profile: Path) -> None:
        (read_ours, write_theirs), (read_theirs, write_ours) = map(_high, (os.pipe(), os.pipe()))

        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _CONNECT, str(read_theirs), str(write_theirs)),
                *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
                *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank"),
            ],
            pass_fds=(read_theirs, write_theirs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_theirs)
        os.close(write_theirs)
        self._commands, self._answers = os.fdopen(write_ours, "wb"), os.fdopen(read_ours, "rb")
        self._sent, self._pending, self._session = 0, b"", ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command of the DevTools protocol, and wait for its answer."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                return answer["result"]

    def open(
        self, page: Path | str, width: int = 1200, height: int = 900, ratio: float = 1, **features: str
    ) -> None:
        """Show a file or an address, in a window of this size; features such as `media="print"`."""
        address = page if isinstance(page, str) else page.as_uri()
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": features.get("scheme", "light")}
        self.call("Emulation.setEmulatedMedia", media=features.get("media", ""), features=[scheme])
        self.errors.clear()
        self.requests.clear()
        self.call("Page.navigate", url=address)
        while self.run("document.readyState") != "complete" or self.run("location.href") != address:
            pass

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression."""
        given = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in given, given
        return given["result"].get("value")

    def until(self, code: str) -> Any:
        """The value of a JavaScript expression as soon as it is true."""
        deadline = time.monotonic() + _PATIENCE
        while not (value := self.run(code)):
            assert time.monotonic() < deadline, f"never came true: {code}"
            time.sleep(0.02)
        return value

    def press(self, key: str) -> None:
        """Press a key, as a person does."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))

    def picture(self, path: Path) -> None:
        """Save what is on the screen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(30)
        self._commands.close()
        self._answers.close()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            assert select.select([self._answers], [], [], _PATIENCE)[0], "Chromium does not answer"
            part = os.read(self._answers.fileno(), 2**16)
            assert part, "Chromium has ended"
            self._pending += part
        text, self._pending = self._pending.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(text)
        event, given = answer.get("method"), answer.get("params", {})
        if event == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.errors.append(json.dumps(given))
        return answer


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """The pipe under high numbers: none of them is 3 or 4, which Chromium's side has to become."""
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in pipe)
    for end in pipe:
        os.close(end)
    return moved[0], moved[1]
