"""The demo: one live page, served by FastAPI and by Express side by side, each with a hub of its own.

`make demo` builds what is needed and runs this; Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
START_SECONDS = 30.0
# Streams end at once, in an orderly way. An answer that is being generated may go on so long, and is then cut.
STOP_SECONDS = 2.0


class Server:
    """One server: a child process, whose output is passed on with its name before each line."""

    def __init__(self, name: str, address: tuple[str, int], peer: str, command: list[str]) -> None:
        self.name = name
        self.address = address
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "DEMO_PEER": peer},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # A terminal's Ctrl-C goes to the whole process group; here it is for the parent alone.
            start_new_session=True,
        )
        self.output = threading.Thread(target=self._pass_on, daemon=True)
        self.output.start()

    def _pass_on(self) -> None:
        for line in self.process.stdout or ():
            print(f"  {self.name:7} | {line}", end="", flush=True)

    def answers(self) -> bool:
        connection = HTTPConnection(*self.address, timeout=1)
        try:
            connection.request("GET", "/config")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


class Stop(BaseException):
    """Somebody wants the demo to end."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the demo's two servers; Ctrl-C ends both.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument("--fastapi-port", type=int, default=8001, help="%(default)s, if free")
    parser.add_argument("--express-port", type=int, default=8002, help="%(default)s, if free")
    arguments = parser.parse_args()

    node = shutil.which("node")
    if node is None:
        print("The demo's second server needs Node: https://nodejs.org", file=sys.stderr)
        return 1

    servers: list[Server] = []
    on_signals(raise_stop)
    try:
        host = arguments.host
        python_port, node_port = free_ports(host, arguments.fastapi_port, arguments.express_port)
        python_url, node_url = url(host, python_port), url(host, node_port)
        uvicorn = [
            sys.executable,
            "-m",
            "uvicorn",
            "--app-dir",
            str(HERE),
            "--log-level",
            "warning",
        ]
        python = [*uvicorn, "--host", host, "--port", str(python_port), "fastapi_app:app"]
        express = [node, str(HERE / "express_app.js"), host, str(node_port)]
        servers.append(Server("FastAPI", (host, python_port), node_url, python))
        servers.append(Server("Express", (host, node_port), python_url, express))

        wait_until_ready(servers)
        print(
            f"\n  The same live page from two servers:\n\n"
            f"    FastAPI  {python_url}\n"
            f"    Express  {node_url}\n\n"
            "  Cut the connection of the notifications there, wait, reconnect: nothing is lost.\n"
            "  Ctrl-C ends both.\n",
            flush=True,
        )
        watch(servers)
    except Stop:
        print("\n  Ending both servers.", flush=True)
        return 0
    finally:
        on_signals(signal.SIG_IGN)
        end(servers)


def on_signals(handler: object) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)  # type: ignore[arg-type]


def raise_stop(*_: object) -> NoReturn:
    raise Stop


def url(host: str, port: int) -> str:
    return f"http://{host}:{port}/"


def free_ports(host: str, *wanted: int) -> list[int]:
    """The wanted ports; where one is taken, another that is free."""
    # Open until all are chosen, so that no two are the same.
    sockets: list[socket.socket] = []
    try:
        for port in wanted:
            try:
                sockets.append(socket.create_server((host, port)))
            except OSError:
                sockets.append(socket.create_server((host, 0)))
                print(f"  Port {port} is taken.", flush=True)
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until_ready(servers: list[Server]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for server in servers:
        while not server.answers():
            check(servers)
            if time.monotonic() > deadline:
                sys.exit(f"  {server.name} did not answer within {START_SECONDS:.0f} s.")
            time.sleep(0.1)


def watch(servers: list[Server]) -> NoReturn:
    while True:
        check(servers)
        time.sleep(0.5)


def check(servers: list[Server]) -> None:
    """Ends the demo when one of its servers has ended."""
    for server in servers:
        code = server.process.poll()
        if code is not None:
            server.output.join(1)
            sys.exit(
                f"  {server.name} has ended by itself, with exit code {code}. Is all built? make build"
            )


def end(servers: list[Server]) -> None:
    for server in servers:
        server.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for server in servers:
        try:
            server.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
        server.output.join(1)


if __name__ == "__main__":
    sys.exit(main())
