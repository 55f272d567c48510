"""The Agent SDK's client on the pipes of a session that the supervisor has started.

The SDK is asynchronous: each session has a thread with an event loop for it, behind a synchronous face. Its
own way of starting the client is not used, because a session has to lead a process group, must end when its
supervisor is killed, and is started with the same options in every mode; so the SDK is given a transport.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pool.errors import CoordError, UsageError
from workers.supervise.session import Frame

if TYPE_CHECKING:
    from claude_agent_sdk import ClaudeSDKClient

#: What the SDK sets in its environment: frames then say when no further turn is owed.
ENVIRON = {"CLAUDE_CODE_ENTRYPOINT": "sdk-py", "CLAUDE_CODE_SDK_READS_SESSION_STATE": "1"}

#: Bytes of one frame at most; a longer one is no frame.
FRAME_LIMIT = 64 * 1024 * 1024

#: A request to the client is answered within this time (seconds), or not at all.
ANSWER = 10.0


class NotListening(CoordError):
    """The session does not take what it is told."""


def require() -> None:
    """Make sure that the SDK is there.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import claude_agent_sdk  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"stream mode needs the Agent SDK ({error}): pip install 'coord[claude]', or use --mode hook"
        ) from None


class Client:
    """One session's client. ``fd`` is readable while frames wait to be taken, and at the end of them."""

    def __init__(self, session: subprocess.Popen[bytes], record: Callable[[bytes], None]) -> None:
        """``session`` was started as in hook mode, and with ENVIRON; its standard streams are pipes.

        ``record`` is given every line of its output; it is called in the client's thread.
        """
        self._session = session
        self._record = record
        self._frames: collections.deque[Frame] = collections.deque()
        self.fd, self._ring = os.pipe()
        os.set_blocking(self._ring, False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sdk: ClaudeSDKClient | None = None
        self._opened = threading.Event()
        self._over = False
        self._problem = ""
        self._thread = threading.Thread(target=self._main, name=f"sdk-{session.pid}", daemon=True)

    # -- the synchronous face --------------------------------------------------------------------------

    def open(self, seconds: float) -> None:
        """Connect.

        Raises:
            NotListening: It did not answer in this time, or ended.
        """
        self._thread.start()
        if not self._opened.wait(seconds):
            raise NotListening(f"the session did not answer within {seconds:g} s")
        if self._sdk is None:
            raise NotListening(self._problem or "the session ended at once")

    def frames(self) -> list[Frame]:
        """The frames that have come since the last call, oldest first."""
        with suppress(BlockingIOError):
            os.set_blocking(self.fd, False)
            while os.read(self.fd, 4096):
                pass
        found = []
        while self._frames:
            found.append(self._frames.popleft())
        return found

    @property
    def over(self) -> bool:
        """Whether no further frame can come."""
        return self._over and not self._frames

    def query(self, text: str) -> None:
        """Say something to the session; returns when it is written.

        Raises:
            NotListening: It did not take it.
        """
        self._ask(lambda sdk: sdk.query(text))

    def interrupt(self) -> None:
        """End the turn that runs.

        Raises:
            NotListening: It did not answer.
        """
        self._ask(lambda sdk: sdk.interrupt())

    def close(self) -> None:
        """End its input, on which it ends; the process is the caller's to wait for."""
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(self._hang_up)
            self._thread.join(ANSWER)
        for fd in (self.fd, self._ring):
            if not self._thread.is_alive():
                with suppress(OSError):
                    os.close(fd)

    def _ask(self, request: Callable[[ClaudeSDKClient], Coroutine[Any, Any, None]]) -> None:
        if self._loop is None or self._sdk is None or self._over:
            raise NotListening("the session has ended")
        coroutine = request(self._sdk)
        try:
            asked = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise NotListening("the session has ended") from None
        try:
            asked.result(ANSWER)
        except TimeoutError:
            asked.cancel()
            raise NotListening(f"the session did not answer within {ANSWER:g} s") from None
        except Exception as error:  # the SDK raises a bare Exception where the client refuses
            raise NotListening(str(error)) from None

    # -- the thread ------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception as error:
            self._problem = self._problem or str(error)
        finally:
            self._over = True
            self._opened.set()
            self._wake()

    async def _live(self) -> None:
        from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient

        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        sdk = ClaudeSDKClient(ClaudeAgentOptions(), transport=_pipes(self._session, self._take))
        await sdk.connect()
        try:
            self._sdk = sdk
            self._opened.set()
            drained = asyncio.create_task(self._drain(sdk))
            ended = asyncio.create_task(self._end.wait())
            await asyncio.wait((drained, ended), return_when=asyncio.FIRST_COMPLETED)
            for task in (drained, ended):
                task.cancel()
            await asyncio.gather(drained, ended, return_exceptions=True)
        finally:
            self._over = True
            await sdk.disconnect()

    async def _drain(self, sdk: ClaudeSDKClient) -> None:
        """The SDK keeps what it has read until somebody takes it; the frames have been taken before."""
        from claude_agent_sdk import ClaudeSDKError

        while True:
            try:
                async for _ in sdk.receive_messages():
                    pass
                return
            except ClaudeSDKError as error:
                if type(error).__name__ != "MessageParseError":  # a frame that this SDK does not know
                    self._problem = str(error)
                    return

    def _hang_up(self) -> None:
        self._end.set()

    def _take(self, line: bytes) -> Frame | None:
        """A line of its output: kept in the log, and as a frame if it is one."""
        self._record(line)
        try:
            frame = json.loads(line)
        except ValueError:
            return None
        if not isinstance(frame, dict):
            return None
        if not str(frame.get("type", "")).startswith("control_"):
            self._frames.append(frame)
            self._wake()
        return frame

    def _wake(self) -> None:
        with suppress(OSError):  # the pipe is full: it is readable all the more; or closed
            os.write(self._ring, b".")


def _pipes(session: subprocess.Popen[bytes], take: Callable[[bytes], Frame | None]) -> Any:
    """A transport for the SDK over a session's pipes. (A function: the SDK is imported only where used.)"""
    from claude_agent_sdk import Transport

    class Pipes(Transport):
        """The session's standard input and output."""

        def __init__(self) -> None:
            self._reader: asyncio.StreamReader | None = None
            self._writer: asyncio.StreamWriter | None = None
            self._closing: list[asyncio.BaseTransport] = []
            self._turn = asyncio.Lock()

        async def connect(self) -> None:
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader()
            source, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), session.stdout
            )
            target, protocol = await loop.connect_write_pipe(
                lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), session.stdin
            )
            target.set_write_buffer_limits(high=0)  # so that `drain` means: the session's pipe has it
            self._reader = reader
            self._writer = asyncio.StreamWriter(target, protocol, None, loop)
            self._closing = [source, target]

        async def write(self, data: str) -> None:
            if self._writer is None or self._writer.is_closing():
                raise NotListening("its input is closed")
            async with self._turn:
                self._writer.write(data.encode())
                await self._writer.drain()

        async def read_messages(self) -> AsyncIterator[Frame]:
            rest = bytearray()
            while self._reader is not None:
                chunk = await self._reader.read(1 << 16)
                if not chunk:
                    return
                rest += chunk
                if len(rest) > FRAME_LIMIT:
                    raise NotListening(f"a line of its output is longer than {FRAME_LIMIT:,} bytes")
                if b"\n" not in chunk:
                    continue
                *lines, tail = bytes(rest).split(b"\n")
                rest = bytearray(tail)
                for line in lines:
                    frame = take(line)
                    if frame is not None:
                        yield frame

        async def close(self) -> None:
            for each in self._closing:
                each.close()

        def is_ready(self) -> bool:
            return self._writer is not None and not self._writer.is_closing()

        async def end_input(self) -> None:
            if self._writer is not None:
                self._writer.close()

    return Pipes()
