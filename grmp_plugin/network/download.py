"""Download a file from the Hugging Face hub, or say within seconds why that is impossible."""

import os
import textwrap
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from grmp_plugin.errors import WeightsUnavailableError

_ANSWER_WITHIN = 4.0  # seconds, unless the environment says otherwise


def answer_within() -> float:
    """Seconds after which a hub that does not answer counts as unreachable: 4, or `HF_HUB_ETAG_TIMEOUT`.

    The client's own time-outs do not cover name resolution, so the limit is enforced here.
    """
    try:
        seconds = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", _ANSWER_WITHIN))
    except ValueError:
        return _ANSWER_WITHIN
    return seconds if 0 < seconds < threading.TIMEOUT_MAX else _ANSWER_WITHIN


class Remote(NamedTuple):
    """A file on the Hugging Face hub."""

    repository: str
    name: str
    kind: str = "model"  # kind of repository: model or dataset

    @property
    def url(self) -> str:
        """Address of the file."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repository, self.name, repo_type=self.kind)


def cached(remote: Remote) -> Path | None:
    """The file in the local cache, or None; does not use the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(remote.repository, remote.name)
    return Path(found) if isinstance(found, str) else None


def fetch(remote: Remote, *, missing_ok: bool = False) -> Path:
    """The file from the local cache, or downloaded into it.

    Args:
        remote: What to fetch.
        missing_ok: Raise FileNotFoundError if the hub answers but does not have the file.

    Raises:
        WeightsUnavailableError: When the file cannot be downloaded; if the hub does not answer, after at most
            `answer_within()` seconds. The message says what to do.
    """
    found = cached(remote)
    if found is not None:
        return found
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    problem = hub_problem(remote)
    if isinstance(problem, EntryNotFoundError) and missing_ok:
        raise FileNotFoundError(remote.url)
    if problem is not None:
        raise _unavailable(remote, problem) from problem
    try:
        return Path(hf_hub_download(remote.repository, remote.name))
    # The client passes on the errors of its transport, which differ between versions.
    except Exception as error:
        raise _unavailable(remote, error) from error


def hub_problem(remote: Remote) -> Exception | None:
    """Ask the hub once for the file's metadata and first byte; return the error, or None.

    The content comes from another server than the metadata, and a network may block only that one.
    """
    from huggingface_hub import constants, get_hf_file_metadata, get_token

    if constants.HF_HUB_OFFLINE:
        return ConnectionError("HF_HUB_OFFLINE is set, which forbids downloads")

    def ask() -> None:
        location = get_hf_file_metadata(remote.url, timeout=answer_within()).location
        first_byte = urllib.request.Request(location, headers={"Range": "bytes=0-0"})
        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        # The token is for the hub, not for the server that it refers to.
        if token and urlsplit(location).netloc == urlsplit(remote.url).netloc:
            first_byte.add_unredirected_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(first_byte, timeout=answer_within()) as answer:
            answer.read(1)

    return what_went_wrong(ask)


def what_went_wrong(ask: Callable[[], None]) -> Exception | None:
    """The error of a request to a server, or None; a TimeoutError after `answer_within()` seconds.

    Name resolution has no time limit of its own, hence the thread.
    """
    outcome: list[Exception | None] = []

    def run() -> None:
        try:
            ask()
            outcome.append(None)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True, name="grmp-hub-probe")
    thread.start()
    limit = answer_within()
    thread.join(limit)
    if outcome:
        return outcome[0]
    return TimeoutError(f"no answer within {limit:g} seconds (HF_HUB_ETAG_TIMEOUT=30 waits longer)")


_LOG_IN = "  - access to the repository: set HF_TOKEN, or hf auth login\n"


def _is_refused(reason: Exception) -> bool:
    """Whether the hub wants to know who asks."""
    answer = getattr(reason, "response", None)
    return getattr(answer, "status_code", getattr(reason, "code", None)) in (401, 403)


def _unavailable(remote: Remote, reason: Exception) -> WeightsUnavailableError:
    from huggingface_hub import constants

    lines = str(reason).strip().splitlines()
    detail = textwrap.shorten(lines[0], 300, placeholder=" ...") if lines else type(reason).__name__
    return WeightsUnavailableError(
        f"'{remote.name}' could not be downloaded from {remote.url}: {detail}\n"
        f"It is not in the cache either ({constants.HF_HUB_CACHE}). Ways out:\n"
        f"{_LOG_IN if _is_refused(reason) else ''}"
        "  - a mirror of the hub: set HF_ENDPOINT=https://your.mirror\n"
        "  - a file downloaded elsewhere: name its path as the model; with pyiqa,\n"
        "    pyiqa.create_metric('grmp_iqa', pretrained_model_path='FILE')\n"
        "  - the embedded model 'grmp_iqa-tiny', which needs no download"
    )
