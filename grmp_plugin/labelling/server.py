"""The server of a session: in a thread of its own, on a free port, until it is closed."""

import ipaddress
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.labelling.app import build_app
from grmp_plugin.labelling.export import Exporter
from grmp_plugin.labelling.guard import own_names
from grmp_plugin.labelling.store import Store

LOCAL = "127.0.0.1"
_PATIENCE = 20.0  # seconds for the start
_GRACE = 2  # seconds for open requests at the end


class LabelServer:
    """Serves the page of a session while the block runs.

    Args:
        store: The session.
        out: File of the ratings.
        host: Address or name to listen on; `0.0.0.0` for all addresses of this machine.
        port: Port to listen on; 0 for the session's last one if it is free, else any.

    Raises:
        InputError: When this machine cannot listen there.
    """

    def __init__(self, store: Store, out: Path, *, host: str = LOCAL, port: int = 0) -> None:
        self._store, self._out, self._host = store, out, host
        self._socket = _listen(host, port, store.port)
        self.port: int = self._socket.getsockname()[1]
        self._exporter: Exporter | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """Address of the page, with its secret."""
        return f"http://{_in_url(_reachable(self._host))}:{self.port}/{self._store.secret}/"

    def __enter__(self) -> "LabelServer":
        self._store.remember_port(self.port)
        self._exporter = Exporter(self._store, self._out)
        self._exporter.changed()
        app = build_app(self._store, own_names(self._host), self._exporter.changed)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=[self._server], name="grmp-label", daemon=True)
        self._thread.start()
        self._await_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._ended.wait()
            self._thread.join()
        self._socket.close()
        if self._exporter is not None:
            self._exporter.close()
            if self._exporter.error is not None and error is None:
                raise self._exporter.error

    def wait(self) -> None:
        """Serve until the server ends, or an exception such as KeyboardInterrupt comes."""
        # Not by joining the thread: Python 3.11 takes a thread for ended when an exception interrupts that.
        while not self._ended.wait(0.5):
            pass

    def _run(self, server: uvicorn.Server) -> None:
        try:
            server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def _await_start(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self._server is not None and not self._server.started:
            if self._ended.is_set() or time.monotonic() > deadline:
                raise GRMPError("the page's server did not start")
            time.sleep(0.01)


def _listen(host: str, port: int, last: int) -> socket.socket:
    """A socket on a port; for port 0 on the last one if it is free, so that open pages go on."""
    problem: OSError | None = None
    for number in (port,) if port or not last else (last, 0):
        try:
            family = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((host, number), family=family)
        except OverflowError as error:
            raise InputError(f"{port} is not a port", argument="port") from error
        except OSError as error:
            problem = error
    argument = "host" if isinstance(problem, socket.gaierror) else "port" if port else "host"
    where = host if argument == "host" else f"{host}:{port}"
    raise InputError(
        f"cannot listen on {where}: {(problem and problem.strerror) or problem}", argument=argument
    ) from problem


def _reachable(host: str) -> str:
    """An address under which a browser finds what listens on a host."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host
    return _own_address() if everywhere else host


def _own_address() -> str:
    """This machine's address in its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation
            return str(probe.getsockname()[0])
        except OSError:
            return LOCAL


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
