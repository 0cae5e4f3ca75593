"""Atomic writes, digests of files, and the user's cache folder."""

import errno
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grmp_plugin.errors import InputError

DATA_ROOT = "datasets"
"""Default folder of pyiqa's data sets."""

# Errors of file systems that know no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def given_path(value: object, expected: str, argument: str) -> str:
    """A path or name that a caller gave.

    Args:
        value: What was given.
        expected: What was expected, for the message.
        argument: Name of the argument.

    Raises:
        InputError: When it is neither a text nor a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"expected {expected}, found {type(value).__name__}", argument=argument)
    return os.fsdecode(value)


def user_cache() -> Path:
    """The folder of this package in the user's cache; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grmp-iqa"


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; OSError if it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def existing(name: str | os.PathLike[str]) -> Path | None:
    """The file or folder of a name, in which `~` stands for the home folder; None if there is none.

    Names come from configurations and checkpoints, too: one that no file can have is none, not an error.
    """
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, the home of an unknown user
        return None


@contextmanager
def only_writer(target: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other runs from writing the same file while the block runs.

    A lock file beside `target` is locked; the system releases it when the process ends, however it ends. On
    file systems without locks nothing is checked.

    Args:
        target: The file to write; through links.

    Raises:
        BlockingIOError: When another run holds the lock.
        OSError: When the lock file cannot be made.
    """
    path = Path(os.path.realpath(target))
    lock = path.with_name(f".{path.name}.lock")
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
            # The run before may have removed the file between opening and locking.
            if _is_open(lock, handle):
                break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove a file that is open
            lock.unlink()
        os.close(handle)


def _is_open(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _lock(handle: int) -> None:
    """Lock an open file for this process; BlockingIOError if another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:  # what Windows raises
        raise BlockingIOError(error.errno, "locked by another process") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


@contextmanager
def atomic_write(target: str | os.PathLike[str], *, through_links: bool = True) -> Iterator[Path]:
    """Give a temporary file beside `target` that replaces it when the block succeeds.

    Args:
        target: The file to write; unchanged if the block fails. A file that exists keeps its permissions.
        through_links: Where `target` is a symbolic link, write the file that it leads to and leave the link;
            otherwise the link itself is replaced, and what it leads to is left alone.

    Yields:
        The path to write to.

    Raises:
        OSError: When the folder does not exist or cannot be written to, or `target` is a device or a pipe.
    """
    path = Path(os.path.realpath(target) if through_links else target)
    mode = _mode(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def durable_write(target: Path) -> Iterator[Path]:
    """Give a temporary file that becomes `target` when the block succeeds, and survives a loss of power.

    The temporary file is called `.NAME.tmp`, so that no reader of the folder takes it for data, and a later
    run finds it.

    Args:
        target: The file to write; one writer at a time.

    Raises:
        OSError: When it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    # Of a killed run; or a link, through which another file would be written.
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make new, renamed and removed files of a folder survive a loss of power, where the system can."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    """Permissions for what replaces a file: its own, or those of any new file (mkstemp's are private)."""
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        found = 0
    if stat.S_ISREG(found):
        return stat.S_IMODE(found)
    if found and not stat.S_ISLNK(found) and not stat.S_ISDIR(found):
        raise OSError(errno.EINVAL, "not a regular file", str(path))  # never replace /dev/null
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
