"""fakeredis' TCP server, as the last resort of `coord up`: for a first look; nothing outlives it."""

from __future__ import annotations

import signal
import sys
import threading


def main(port: int) -> None:
    """Serve on loopback until SIGTERM."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    ended.wait()
    server.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
