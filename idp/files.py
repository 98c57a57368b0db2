"""Files that are never half-written: replaced as a whole, changed by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from idp.errors import OperatorError

Stamp = tuple[int, int, int, int]


def stamp(path: Path) -> Stamp:
    """What changes whenever a file is replaced, or others may get at it: modification time (ns), inode, size and mode.

    :raises OSError: when the file is not there.
    """
    found = os.stat(path)
    return (found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode)


@contextlib.contextmanager
def usable(folder: Path, setting: str) -> Iterator[None]:
    """For what is done in a folder that ``setting`` names.

    :raises OperatorError: when the block fails because the folder is none, or cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        raise OperatorError(
            f"{folder.absolute()}: cannot be used ({error.strerror}). {setting} must name a folder that belongs to the "
            "user who runs idp."
        ) from error


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder for one writer: a second process waits. The kernel lets go when the process dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put ``content`` at ``path`` so that a reader, or a crash, sees the old file or the new one and nothing between.

    Run as root, the file goes to whom the old one belonged, or else the folder: an operator's ``sudo idp keys rotate``
    must not leave a key that the service cannot read.

    :raises OperatorError: when it cannot be written; then nothing was changed.
    """
    written = path.parent / f".{path.name}.{os.getpid()}.new"
    try:
        # Its own name per process; one that is there is what a process with our number left when it was killed.
        written.unlink(missing_ok=True)
        handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(handle, "wb") as file:
            os.fchmod(handle, mode)
            if os.geteuid() == 0:
                owner = os.stat(path if path.exists() else path.parent)
                os.fchown(handle, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(written, path)
        _sync_folder(path.parent)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise OperatorError(f"{path}: cannot be written ({error.strerror}). Nothing was changed.") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may see; its folder too.

    :raises FileNotFoundError: when it is not there.
    :raises OperatorError: when others may read it, with the command that mends it.
    """
    check_private(path.parent, os.stat(path.parent))
    with open(path, "rb") as file:
        check_private(path, os.fstat(file.fileno()))
        return file.read()


def check_private(path: Path, found: os.stat_result) -> None:
    """Refuse a file or folder that its group or others may read, write or enter."""
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        right = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise OperatorError(
            f"{path}: others on this machine can get at it (mode {mode:04o}), and it holds private keys. "
            f"Run: chmod {right} {path}   If somebody may have read it, see “A key was stolen” in docs/operators/rotate-keys.md."
        )
