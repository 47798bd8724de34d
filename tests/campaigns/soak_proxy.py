"""A proxy on a loopback port before a server: it freezes, throttles or ends connections, as its standard input says.

``python -m tests.campaigns.soak_proxy PORT TARGET``; each line of its input is a mode: ``pass``, ``freeze`` (nothing is
forwarded any more), ``throttle`` (each request is refused because of its rate), ``cut`` (connections end). It ends with
its input.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import suppress

PIECE = 1 << 16
MODES = ("pass", "freeze", "throttle", "cut")

_mode = "pass"


def main(port: int, target: int) -> None:
    """Serve until the standard input ends."""
    global _mode
    server = socket.create_server(("127.0.0.1", port), backlog=256)
    threading.Thread(target=_accepted, args=(server, target), daemon=True).start()
    for line in sys.stdin:
        assert line.strip() in MODES
        _mode = line.strip()


def _accepted(server: socket.socket, target: int) -> None:
    while True:
        client, _ = server.accept()
        threading.Thread(target=_served, args=(client, target), daemon=True).start()


def _served(client: socket.socket, target: int) -> None:
    with client, suppress(OSError):
        if _mode == "throttle":
            _refused(client)
            return
        with socket.create_connection(("127.0.0.1", target)) as server:
            back = threading.Thread(target=_forwarded, args=(server, client), daemon=True)
            back.start()
            _forwarded(client, server)
            back.join(60)


def _forwarded(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            while _mode == "freeze":
                time.sleep(0.05)
            if _mode in ("cut", "throttle"):
                break
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _refused(client: socket.socket) -> None:
    """Answer one request as the service does that is asked too often."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(PIECE)
        if not data:
            return
        head += data
    if b"x-amz-target" in head.lower():
        status, body = "400 Bad Request", b'{"__type":"ThrottlingException","message":"Rate exceeded"}'
    else:
        status, body = (
            "503 Slow Down",
            b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>",
        )
    said = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    client.sendall(said + body)
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1.0)
    while client.recv(PIECE):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
