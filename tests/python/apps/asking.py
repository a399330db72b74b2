"""Asks for what is trivial, again and again, until it is ended; a line for each answer: how many seconds it took.

A process of its own: in the process that reads the streams, it would time how long it waits for that one's interpreter.
"""

from __future__ import annotations

import socket
import sys
import time

HEAD = b"HTTP/1.1 200 "
BODY = b"\r\n\r\nok"


def main() -> None:
    """Takes the host and the port."""
    address = (sys.argv[1], int(sys.argv[2]))
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    while True:
        begin = time.perf_counter()
        answer = b""
        with socket.create_connection(address, timeout=60) as wire:
            wire.sendall(request)
            # Not until it is closed: some servers take their time for that.
            while not answer.endswith(BODY):
                more = wire.recv(4096)
                if not more:
                    break
                answer += more
            took = time.perf_counter() - begin
        if not (answer.startswith(HEAD) and answer.endswith(BODY)):
            sys.exit(f"no answer: {answer!r}")
        print(took, flush=True)


if __name__ == "__main__":
    main()
