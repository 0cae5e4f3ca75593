"""Time limits for metrics that download their weights, so that they fail soon without a network."""

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

from grmp_plugin.network.download import answer_within, what_went_wrong


class NetworkTimeout:
    """Limits how long a metric waits for the network.

    Clients of the Hugging Face hub retry for 50 seconds, and do so for every file. The hub is therefore
    asked once; if it does not answer, its clients are switched to offline mode and use their cache.
    """

    def __init__(self) -> None:
        self._hub_answers: bool | None = None

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """Limit waiting for any server to a few seconds, and contact the hub only if it answers at all."""
        from huggingface_hub import constants

        timeout, offline = socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE
        if self._hub_answers is None and not offline:
            self._hub_answers = _answers(constants.ENDPOINT)
        socket.setdefaulttimeout(answer_within())
        constants.HF_HUB_OFFLINE = offline or not self._hub_answers
        try:
            yield
        finally:
            socket.setdefaulttimeout(timeout)
            constants.HF_HUB_OFFLINE = offline


def _answers(address: str) -> bool:
    """Whether a server answers at all, even with an error."""

    def ask() -> None:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=answer_within()):
            pass

    problem = what_went_wrong(ask)
    return problem is None or isinstance(problem, urllib.error.HTTPError)
