"""`ssehub` as a process: to its end, while it runs, or at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from http_stream import Address
from scripted import Peer, Scene
from support import SOON

# What a hub says of a loss.
GAP = 'event: ssehub:gap\nid: 9\ndata: {"last_event_id": "2", "reason": "expired"}\n\n'


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "ssehub", *args]


def run(*args: str, status: int = 0, stdin: str = "") -> tuple[str, str]:
    """Output and errors of a command that ends by itself with this status."""
    environment = {**os.environ, "NO_PROXY": "*"}
    done = subprocess.run(
        command(*args),
        capture_output=True,
        text=True,
        input=stdin,
        timeout=40,
        check=False,
        env=environment,
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout, done.stderr


@contextmanager
def started(*args: str) -> Iterator[subprocess.Popen[str]]:
    """A command that follows. Its pipes are ours."""
    with subprocess.Popen(
        command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shown(*args: str) -> str:
    """What a terminal gets to see of a command, up to its end."""
    parent, child = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        command(*args), stdout=child, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(child)
        text = b""
        try:
            while select.select([parent], [], [], SOON)[0]:
                text += os.read(parent, 65536)
        except OSError:
            pass  # The other end is closed.
        finally:
            os.close(parent)
            process.kill()
    return text.decode()


def still(*pieces: str) -> Scene:
    """A stream that has nothing more to say, and stays open."""

    def play(peer: Peer) -> None:
        peer.head()
        peer.send("".join(pieces))
        peer.stay()

    return play


def url(address: Address, path: str = "/events") -> str:
    return f"http://127.0.0.1:{address[1]}{path}"
