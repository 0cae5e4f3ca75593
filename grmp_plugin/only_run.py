"""A second run that would write the file of a first one is told."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from grmp_plugin.errors import InputError
from grmp_plugin.files import only_writer


@contextmanager
def only_run(file: Path | None, argument: str = "out") -> Iterator[None]:
    """Keep a second run from writing the same file, and what belongs to it, while the block runs.

    Args:
        file: The file; None: nothing is written.
        argument: Name of the argument that gave the path, for messages.

    Raises:
        InputError: When another run is writing it.
    """
    with ExitStack() as stack:
        if file is not None:
            try:
                stack.enter_context(only_writer(file))
            except BlockingIOError as error:
                raise InputError(
                    f"another run is writing {file}; wait for its end, or name another file",
                    argument=argument,
                ) from error
            except OSError as error:
                raise InputError(f"{file}: {error.strerror or error}", argument=argument) from error
        yield
