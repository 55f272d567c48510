"""Text files that are read and replaced whole, their line ends and permissions kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pool.errors import CoordError, UsageError


def read(path: Path) -> str | None:
    """A file's text exactly as it is; None when there is no file.

    Raises:
        UsageError: It is not UTF-8, or cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error.reason}); nothing was changed") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); nothing was changed") from None


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file whole. A link stays a link: what it points to is replaced, with its mode and owner.

    ``mode`` is a new file's, before the umask.

    Raises:
        CoordError: The disk cannot be written.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    try:
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            _like(target, temporary, mode)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CoordError(f"{path} cannot be written ({error.strerror}); it is as it was") from None


def remove(path: Path) -> None:
    """Remove a file (of a link: what it points to).

    Raises:
        CoordError: The disk cannot be written.
    """
    try:
        os.unlink(os.path.realpath(path))
    except OSError as error:
        raise CoordError(f"{path} cannot be removed ({error.strerror})") from None


def prune(folder: Path) -> None:
    """Remove a folder if nothing is in it."""
    try:
        folder.rmdir()
    except OSError:
        return  # something else lives there


def _like(target: str, temporary: str, mode: int) -> None:
    """Give the new file the old one's mode and owner."""
    try:
        known = os.stat(target)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, mode & ~umask)
        return
    os.chmod(temporary, known.st_mode & 0o7777)
    if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
        try:
            os.chown(temporary, known.st_uid, known.st_gid)
        except PermissionError:
            return  # only root gives files away
