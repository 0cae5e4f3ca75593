"""Collecting ratings: `label` for a whole session, `Labelling` for a caller that runs the page itself."""

import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from grmp_plugin.api.images import Images
from grmp_plugin.api.label_pictures import (
    DEFAULT_STRATEGY,
    STRATEGIES,
    STRATEGY_OF_MORE,
    Wanted,
    choose_pictures,
    in_common,
)
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.files import only_writer
from grmp_plugin.progress import ProgressCallback
from grmp_plugin.tables import check_file_path

if TYPE_CHECKING:
    from grmp_plugin.api.models import Model
    from grmp_plugin.api.recovered import RecoveredMos
    from grmp_plugin.labelling.server import LabelServer
    from grmp_plugin.labelling.store import Store

LOCAL = "127.0.0.1"
_NEEDED = ("starlette", "uvicorn")


@dataclass(frozen=True)
class Labelling:
    """A session that is ready to be rated.

    Attributes:
        out: File of the ratings.
        store: The session.
        resumed: Whether it was there before.
        added: Number of pictures that were added to it.
        remarks: What became of the pictures, in sentences.
    """

    out: Path
    store: "Store"
    resumed: bool
    added: int
    remarks: tuple[str, ...]

    def serve(self, host: str = LOCAL, port: int = 0) -> "LabelServer":
        """The page's server, which runs while it is used as a context.

        Args:
            host: Address or name to listen on; `0.0.0.0` for all addresses of this machine.
            port: Port; 0 for the session's last one if it is free, else any.

        Raises:
            InputError: When this machine cannot listen there.
        """
        from grmp_plugin.labelling.server import LabelServer

        return LabelServer(self.store, self.out, host=host, port=port)


def label(
    images: Images | None = None,
    out: str | os.PathLike[str] = "ratings.csv",
    *,
    count: int = 50,
    strategy: str | None = None,
    listed: str | os.PathLike[str] | None = None,
    more: int = 0,
    pairs: bool = False,
    seed: int = 0,
    model: "Model" = "grmp_iqa-tiny",
    recursive: bool = True,
    host: str = LOCAL,
    port: int = 0,
    browser: bool = True,
    announce: Callable[[str], None] | None = None,
    progress: bool | ProgressCallback = False,
) -> "RecoveredMos | None":
    """Let people rate pictures on a page, until KeyboardInterrupt.

    The session is kept in a file beside `out`: calling it again with the same `out` continues it.

    Args:
        images: Image files, folders, glob patterns, or a list of these; not needed to continue a session.
        out: File of the single ratings (.csv), written again as people rate.
        count: How many pictures to rate.
        strategy: How to choose them: `random`; `clusters`, typical members of clusters of the model's image
            features (TypiClust); `maxherding`, so that all pictures are similar to a chosen one; `spread`,
            over the predicted quality; `both`, typical members at each level of it; `uncertainty`, so that
            ridge regression becomes most certain of all pictures. All but `random` look at 1000 random
            pictures with the model, or at all where there are fewer; the last three use the ratings so far.
            None: `random` in a new session, `uncertainty` for `more`.
        listed: File with one path per line, relative to that file: the pictures to rate, all of them.
        more: Add this many pictures to a session that has begun.
        pairs: Compare pictures in pairs instead of rating them from 1 to 5.
        seed: Random seed of the choice and of the raters' orders.
        model: The model whose features and predictions choose pictures; not used for `random`.
        recursive: Search folders inside folders as well.
        host: Address to listen on. Other machines reach the page only with another one than 127.0.0.1.
        port: Port; 0 for the session's last one if it is free, else any.
        browser: Open the page in the browser.
        announce: Called with the page's address when it is served.
        progress: True for a progress bar, or a function to call with each `Progress`.

    Returns:
        MOS and raters, as `recover_mos` returns them; None where nobody rated.

    Raises:
        InputError: When an argument cannot be used, there are no pictures, or another process runs this
            session.
        GRMPError: When the extra `label` is not installed, or a file cannot be written.
    """
    from grmp_plugin.api.recover import recover_mos

    with open_labelling(
        images,
        out,
        count=count,
        strategy=strategy,
        listed=listed,
        more=more,
        pairs=pairs,
        seed=seed,
        model=model,
        recursive=recursive,
        progress=progress,
    ) as labelling:
        try:
            with labelling.serve(host, port) as server:
                if announce is not None:
                    announce(server.url)
                if browser:
                    show_page(server.url)
                server.wait()
        except KeyboardInterrupt:
            pass
        voted = bool(labelling.store.votes())
    return recover_mos(out) if voted else None


def show_page(url: str) -> None:
    """Open an address in the browser, where there is a screen: others block the terminal."""
    screen = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if screen:
        webbrowser.open(url)


@contextmanager
def open_labelling(
    images: Images | None,
    out: str | os.PathLike[str],
    *,
    count: int = 50,
    strategy: str | None = None,
    listed: str | os.PathLike[str] | None = None,
    more: int = 0,
    pairs: bool = False,
    seed: int = 0,
    model: "Model" = "grmp_iqa-tiny",
    recursive: bool = True,
    progress: bool | ProgressCallback = False,
) -> Iterator[Labelling]:
    """Begin or continue a session; arguments and errors as for `label`."""
    if strategy is None:
        strategy = STRATEGY_OF_MORE if more else DEFAULT_STRATEGY
    target = _checked(out, count, strategy, more, images, listed)
    wanted = Wanted(images, listed, more or count, strategy, seed, model, recursive)
    from grmp_plugin.labelling.export import session_file
    from grmp_plugin.labelling.store import Store

    file = session_file(target)
    with ExitStack() as held:
        try:
            held.enter_context(only_writer(file))
        except BlockingIOError as error:
            raise InputError(f"{target}: another process runs this session", argument="out") from error
        resumed = file.exists()
        if more and not resumed:
            raise InputError(f"there is no session of {target} to add pictures to", argument="more")
        remarks = () if resumed else _begin(file, target, wanted, pairs, progress)
        store = held.enter_context(closing(Store(file)))
        before = len(store.pictures()) if resumed else 0
        if resumed and not more and not in_common(wanted, store.pictures().values()):
            raise InputError(
                f"the session of {target} has other pictures, and none of these; name another file",
                argument="out",
                see=("more",),
            )
        if pairs and not store.pairs:
            raise InputError(
                f"the pictures of {target} are rated one by one; name another file", argument="out"
            )
        if resumed and more:
            remarks = _extend(store, wanted, progress)
        yield Labelling(target, store, resumed, len(store.pictures()) - before, remarks)


def _checked(
    out: str | os.PathLike[str],
    count: int,
    strategy: str,
    more: int,
    images: Images | None,
    listed: str | os.PathLike[str] | None,
) -> Path:
    """Check arguments; the path of the ratings."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise GRMPError("the page needs Starlette and uvicorn: pip install 'grmp-iqa[label]'")
    if strategy not in STRATEGIES:
        raise InputError(f"'{strategy}' is none of {', '.join(STRATEGIES)}", argument="strategy")
    if count < 2:
        raise InputError(f"must be at least 2, not {count}", argument="count")
    if more < 0:
        raise InputError(f"must be at least 0, not {more}", argument="more")
    if images is not None and listed is not None:
        raise InputError("lists all pictures to rate: name no others beside it", argument="listed")
    if Path(out).suffix.lower() != ".csv":
        raise InputError(f"{out}: ratings are a .csv file; call it {Path(out).stem}.csv", argument="out")
    return check_file_path(out, "out")


def _begin(
    file: Path, target: Path, wanted: Wanted, pairs: bool, progress: bool | ProgressCallback
) -> tuple[str, ...]:
    """Choose the pictures of a new session; remarks."""
    if target.exists():
        raise InputError(
            f"{target} exists, but not its session {file.name}; name another file", argument="out"
        )
    from grmp_plugin.labelling.plan import PRACTICE_PICTURES
    from grmp_plugin.labelling.store import Store

    chosen, practice, remarks = choose_pictures(wanted, (), PRACTICE_PICTURES, progress)
    if len(chosen) < 2:
        why = "; ".join(["fewer than two pictures that can be rated", *remarks])
        raise InputError(why, argument="images", see=() if wanted.listed else ("listed",))
    Store.create(file, chosen, practice, pairs=pairs, seed=wanted.seed).close()
    return remarks


def _extend(store: "Store", wanted: Wanted, progress: bool | ProgressCallback) -> tuple[str, ...]:
    """Add pictures to a session; remarks."""
    from grmp_plugin.labelling.so_far import ratings_so_far

    before = tuple(store.pictures().values())
    chosen, _, remarks = choose_pictures(wanted, before, 0, progress, lambda: ratings_so_far(store))
    store.add_pictures(chosen)
    return remarks
