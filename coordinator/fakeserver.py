"""fakeredis' TCP server, as the last resort of `coord up`: for a first look; nothing outlives it."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import redis


def main(port: int) -> None:
    """Serve on loopback until SIGTERM."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
    handler = server.RequestHandlerClass

    class Patient(handler):  # type: ignore[misc, valid-type]
        """Goes on after an error reply, as Redis does; fakeredis would drop the connection."""

        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def read_or_error(*args: Any, **kwargs: Any) -> Any:
                try:
                    return read(*args, **kwargs)
                except redis.ResponseError as error:
                    return error

            self.current_client.read_response = read_or_error

    server.RequestHandlerClass = Patient
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    ended.wait()
    server.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
