"""Servers of developers, which start anew when a file changes: streams end, clients come back, nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from handoff_servers import APPS, SSE, modes
from http_stream import Address, Wire, post, stats
from processes import Child, free_port, responds, running, wait_for

pytestmark = pytest.mark.timeout(120)
HANDOFFS = {"detach": "detached", "hold": "held", "off": "in-loop"}


@dataclass(frozen=True)
class Reloader:
    """How to start a server that watches the file `app.py` in a folder, and what to write there."""

    name: str
    command: tuple[str, ...]
    # What it, or the application, prints then.
    sees: str
    text: str = ""
    # Whether it waits for what it is serving. Otherwise what is not the engine's may end in the middle.
    waits: bool = True

    def __str__(self) -> str:
        return self.name


_UVICORN = ("uvicorn", "app:app", "--reload", "--reload-dir", "{folder}", "--app-dir", "{folder}")
_RUN = "app.run(port=int(sys.argv[1]), threaded=True, use_reloader=True, reloader_interval=0.1)"
RELOADERS = [
    Reloader(
        "uvicorn",
        (*_UVICORN, "--port", "{port}"),
        "detected changes in",
        "from handoff_asgi_app import app\n",
    ),
    Reloader(
        "werkzeug",
        (sys.executable, "{folder}/app.py", "{port}"),
        "Detected change in",
        f"import sys\nfrom handoff_app import app\n{_RUN}\n",
        waits=False,
    ),
    Reloader(
        "django",
        (sys.executable, "{folder}/app.py", "runserver", "{port}"),
        "a file has changed",
        waits=False,
    ),
]


@contextmanager
def reloading(
    reloader: Reloader, folder: Path
) -> Iterator[tuple[Child, Address, Callable[[], None]]]:
    """The server, and what changes the file."""
    file = folder / "app.py"
    if reloader.text:
        file.write_text(reloader.text)
    else:
        shutil.copy(f"{APPS}/django_app.py", file)
    port = free_port()
    command = [part.format(port=port, folder=folder) for part in reloader.command]
    environment = {"PYTHONPATH": APPS, "SSEHUB_TEST_RELOAD": "1"}

    def change() -> None:
        with file.open("a") as app:
            app.write("# Changed.\n")
        # Another time than before, also for those who look at whole seconds.
        later = time.time() + 5
        os.utime(file, (later, later))

    with running(command, url=f"http://127.0.0.1:{port}/", env=environment) as child:
        try:
            yield child, ("127.0.0.1", port), change
        finally:
            # Of those that leave their child to itself.
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGTERM)
            with suppress(ProcessLookupError):
                child.process.wait(10)
                os.killpg(child.process.pid, signal.SIGKILL)


@pytest.mark.parametrize("reloader", RELOADERS, ids=str)
def test_a_file_changes(reloader: Reloader, tmp_path: Path) -> None:
    with reloading(reloader, tmp_path) as (child, address, change):
        for _ in range(2):
            old = int(stats(address)["pid"])
            with ExitStack() as stack:
                wires = {
                    handoff: [
                        stack.enter_context(
                            Wire(address, f"/events?handoff={handoff}", headers=SSE)
                        )
                        for _ in range(5)
                    ]
                    for handoff in HANDOFFS
                }
                wait_for(
                    lambda: modes(address) == dict.fromkeys(HANDOFFS.values(), 5), "all streams"
                )
                post(address, "before")
                change_until_seen(reloader, child, change)
                for handoff, several in wires.items():
                    for wire in several:
                        clean = wire.wait_end(timeout=30)
                        assert wire.next().data == "before"
                        if handoff == "detach" or reloader.waits:
                            assert clean, bytes(wire.body)
                            assert b"\nretry: " in bytes(wire.body)
                at = wires["detach"][0].last_event_id
            wait_for(lambda old=old: not is_there(old), "the end of the old process")  # type: ignore[misc]
            wait_until_it_serves(address, old)
            # The client comes back, and is told that this is another life.
            with Wire(address, headers={**SSE, "Last-Event-ID": at}) as wire:
                assert wire.next().json()["reason"] == "unknown"
                wait_for(lambda: modes(address) == {"detached": 1}, "the stream")
                post(address, "after")
                while wire.next().data != "after":
                    pass
            wait_for(lambda: not modes(address), "its end")
            assert zombies(child.process.pid) == []
            wait_for(lambda: connections(address) == 0, "the connections")
        assert "Traceback" not in child.output(), child.output()


def change_until_seen(reloader: Reloader, child: Child, change: Callable[[], None]) -> None:
    """Once more only where the reloader has seen nothing: its first look may have come after the change."""
    before = child.output().count(reloader.sees)
    for _ in range(2):
        change()
        with suppress(TimeoutError):
            wait_for(lambda: child.output().count(reloader.sees) > before, reloader.sees)
            return
    raise AssertionError(f"no change was seen: {child.output()}")


def is_there(pid: int) -> bool:
    """Whether a process is there, be it as a zombie."""
    return Path(f"/proc/{pid}").exists()


def wait_until_it_serves(address: Address, other_than: int) -> None:
    def serves() -> bool:
        answers = responds(f"http://127.0.0.1:{address[1]}/")
        return answers and int(stats(address)["pid"]) != other_than

    wait_for(serves, "the new process", timeout=30)


def zombies(pid: int) -> list[str]:
    """Descendants of a process that have ended, and that nobody has taken note of."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        found += [child] if state == "Z" else zombies(int(child))
    return found


def connections(address: Address) -> int:
    """How many of the server's connections are not closed on both sides."""
    port = f":{int(address[1]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # But for those that listen, and those of which only the memory is kept.
    return sum(row[1].endswith(port) and row[3] not in ("0A", "06") for row in rows)
