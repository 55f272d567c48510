"""Cut this process, and all that it will start, off from every network but loopback."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

T = TypeVar("T")
#: The network that was left, if one was.
_left: list[int] = []
#: Says to the processes that this one starts (pytest-xdist's) where that network is: they leave another one.
_WAY_OUT = "TEST_WAY_OUT"


def isolate() -> str:
    """Enter a network namespace with loopback only; '' or why that was not allowed.

    To be called by the main thread before it starts others: a namespace is a thread's, and inherited.
    """
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open(os.environ.get(_WAY_OUT, "/proc/thread-self/ns/net"), os.O_RDONLY)
    if libc.unshare(_CLONE_NEWNET) != 0:
        os.close(before)
        return os.strerror(ctypes.get_errno())
    _left.append(before)
    os.environ.setdefault(_WAY_OUT, f"/proc/{os.getpid()}/fd/{before}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("16xH", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    return ""


def outside(work: Callable[[], T]) -> T:
    """Do it in a thread that goes back to the network that was left (a package is to be fetched)."""

    def leave() -> T:
        if _left and ctypes.CDLL(None, use_errno=True).setns(_left[0], _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "the network cannot be entered again")
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(leave).result()
