"""Metrics fetch their weights when they are created: let one that cannot reach them say so soon."""

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

from grmp_plugin.network.download import ANSWER_WITHIN, what_went_wrong


class BriefNetwork:
    """Bounds how long the network is waited for.

    Clients of the Hugging Face hub try again for 50 seconds, for every file anew. The hub is asked once:
    if it does not answer, its clients are told to work offline, with what they have in their cache.
    """

    def __init__(self) -> None:
        self._hub_answers: bool | None = None

    @contextlib.contextmanager
    def waiting_briefly(self) -> Iterator[None]:
        """Wait for any server at most a few seconds, and for the hub only if it answers at all."""
        from huggingface_hub import constants

        timeout, offline = socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE
        if self._hub_answers is None and not offline:
            self._hub_answers = _answers(constants.ENDPOINT)
        socket.setdefaulttimeout(ANSWER_WITHIN)
        constants.HF_HUB_OFFLINE = offline or not self._hub_answers
        try:
            yield
        finally:
            socket.setdefaulttimeout(timeout)
            constants.HF_HUB_OFFLINE = offline


def _answers(address: str) -> bool:
    """Whether a server says anything at all, be it an error."""

    def ask() -> None:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=ANSWER_WITHIN):
            pass

    problem = what_went_wrong(ask)
    return problem is None or isinstance(problem, urllib.error.HTTPError)
