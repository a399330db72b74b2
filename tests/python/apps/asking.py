"""Asks for what is trivial, again and again, until it is ended; a line for each answer: how many seconds it took.

A process of its own: in the process that reads the streams, it would time how long it waits for that one's interpreter.
"""

from __future__ import annotations

import sys
import time
from http.client import HTTPConnection


def main() -> None:
    """Takes the host and the port."""
    host, port = sys.argv[1], int(sys.argv[2])
    while True:
        begin = time.perf_counter()
        connection = HTTPConnection(host, port, timeout=60)
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read()
        # Not until it is closed: some servers take their time for that.
        took = time.perf_counter() - begin
        connection.close()
        if (response.status, body) != (200, b"ok"):
            sys.exit(f"no answer: {response.status} {body!r}")
        print(took, flush=True)


if __name__ == "__main__":
    main()
