"""A TCP proxy before Redis that cuts a client off at one of its round trips.

It counts what a client sends (one chunk of commands, then the reply: one round trip) and at the n-th
kills the client's process, either before Redis sees the commands or after Redis has run them and
before the reply arrives. Real sockets, the real server: nothing is mocked.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable


class Proxy:
    """Forwards connections to a port of loopback."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        #: Called before and after each round trip: (number, 'before' | 'after'); True drops the line.
        self.intercept: Callable[[int, str], bool] = lambda number, when: False
        #: Changes what the server answers.
        self.rewrite: Callable[[bytes], bytes] = lambda data: data
        #: The network is cut: 'refused' drops every line, at once; 'silent' carries nothing and says nothing.
        self.cut = ""
        self.round_trips = 0
        #: How each round trip began: the first bytes of what the client sent.
        self.sent: list[bytes] = []
        self.open = True
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._main = threading.Thread(target=self._accept, daemon=True)
        self._main.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def kill_at(self, number: int, when: str, pid: Callable[[], int]) -> None:
        """SIGKILL the client at its n-th round trip, before or after Redis has run it."""
        self.count()

        def intercept(current: int, phase: str) -> bool:
            if current != number or phase != when:
                return False
            os.kill(pid(), signal.SIGKILL)
            return True

        self.intercept = intercept

    def count(self) -> None:
        """Count from one again, and cut nobody off."""
        with self._lock:
            self.round_trips, self.sent = 0, []
        self.intercept = lambda number, when: False

    def close(self) -> None:
        """Refuse new connections and drop the open ones."""
        self.open = False
        self.listener.close()
        self._main.join(5)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while self.open:
            try:
                ready = select.select([self.listener], [], [], 0.1)[0]
                client = self.listener.accept()[0] if ready else None
            except (OSError, ValueError):
                if not self.open:
                    return
                time.sleep(0.05)  # closed while the server is said to be refused: it may listen again
                continue
            if client is not None:
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            target = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()  # the server is away
            return
        with client, target as server:
            number = 0
            waiting = False
            while self.open and self.cut != "refused":
                if self.cut:
                    time.sleep(0.05)
                    continue
                ready = select.select([client, server], [], [], 0.1)[0]
                try:
                    if client in ready:
                        data = client.recv(1 << 20)
                        if not data:
                            return
                        if not waiting:
                            with self._lock:
                                self.round_trips += 1
                                number = self.round_trips
                                self.sent.append(data[:256])
                            waiting = True
                            if self.intercept(number, "before"):
                                return
                        server.sendall(data)
                    if server in ready:
                        data = server.recv(1 << 20)
                        if not data:
                            return
                        if waiting and self.intercept(number, "after"):
                            return
                        waiting = False
                        client.sendall(self.rewrite(data))
                except OSError:
                    return
