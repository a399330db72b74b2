"""Hubs that are made before a fork."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from handoff_servers import SERVERS, SSE, UVICORN, Server, modes, no_complaints, serving
from http_stream import Wire, post
from processes import wait_for
from ssehub import ClosedError, History, Hub
from support import SOON, drained, published, take, threads

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 warns of forks in processes that have threads; that is what is tested.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


def in_child(function: Callable[[], None]) -> None:
    """Runs a function in a forked child; fails where it fails or hangs."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        code = 1
        try:
            watchdog = threading.Timer(SOON, os._exit, (3,))
            watchdog.daemon = True
            watchdog.start()
            function()
            code = 0
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(write, repr(error).encode())
        finally:
            os._exit(code)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said


def use(hub: Hub) -> None:
    """Publishes and reads, by thread and by loop."""
    before = hub.stats().published
    reader = hub.subscribe("own")
    ids = published(hub, 3, "own")
    assert take(reader, 3) == ["0", "1", "2"]
    assert hub.stats().published == before + 3
    assert len({id.partition("-")[0] for id in ids}) == 1

    async def loop() -> None:
        areader = hub.subscribe("own")
        asyncio.get_running_loop().call_later(0.01, hub.publish, "own", "async")
        assert (await asyncio.wait_for(anext(areader), SOON)).data == "async"

    asyncio.run(loop())
    reader.close()


def test_an_unused_hub() -> None:
    hub = Hub()
    in_child(lambda: use(hub))
    use(hub)


def test_a_used_hub_begins_a_new_life_in_the_child() -> None:
    hub = Hub()
    use(hub)
    epoch = hub.last_event_id.partition("-")[0]

    def child() -> None:
        assert hub.stats().published == 0
        assert hub.topics() == []
        assert hub.last_event_id.partition("-")[0] != epoch
        # An id of the parent's is of another life.
        (gap,) = drained(hub.subscribe("own", last_event_id=f"{epoch}-1"))
        assert gap.json()["reason"] == "unknown"
        use(hub)

    in_child(child)
    assert hub.last_event_id.partition("-")[0] == epoch
    use(hub)


def test_children_have_different_epochs() -> None:
    hub = Hub()
    hub.publish("t", "x")
    read, write = os.pipe()
    for _ in range(3):
        in_child(lambda: os.write(write, hub.last_event_id.encode() + b"\n") and None)
    os.close(write)
    with open(read) as pipe:
        epochs = {line.partition("-")[0] for line in pipe}
    assert len({*epochs, hub.last_event_id.partition("-")[0]}) == 4


def test_settings_go_along() -> None:
    hub = Hub(history=History(count=2), dumps=repr)
    hub.publish("t", "x")

    def child() -> None:
        reader = hub.subscribe("t", last_event_id="earliest")
        for n in range(5):
            hub.publish("t", n)
        assert [event.data for event in drained(reader)][-2:] == ["3", "4"]
        assert hub.topics()[0].frames >= 2

    in_child(child)


def test_a_fork_while_threads_publish_and_read() -> None:
    """Locks may be held by threads that the child does not have."""
    hub, stop = Hub(), threading.Event()

    def publish() -> None:
        while not stop.is_set():
            hub.publish("own", "parent")

    def read() -> None:
        reader = hub.subscribe("own", slow="skip")
        while not stop.is_set():
            try:
                reader.get(timeout=0.01)
            except TimeoutError:
                continue

    with threads(publish, publish, read):
        try:
            for _ in range(10):
                in_child(lambda: use(hub))
        finally:
            stop.set()


def test_a_fork_inside_a_running_loop() -> None:
    hub = Hub()

    async def parent() -> None:
        reader = hub.subscribe("t")
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0.01)
        published(hub, 1)
        await waiting

        def child() -> None:
            # As gunicorn's and Celery's children do: a new loop, in a process that was forked from one.
            asyncio.events._set_running_loop(None)
            use(hub)
            gc.collect()

        in_child(child)
        published(hub, 1, first=1)
        assert (await asyncio.wait_for(anext(reader), SOON)).data == "1"

    asyncio.run(parent())


def test_what_the_child_drops_does_not_disturb_the_parent() -> None:
    hubs = [Hub()]
    reader = hubs[0].subscribe("t")
    published(hubs[0], 1)
    assert take(reader, 1) == ["0"]
    readers = [reader]

    def child() -> None:
        readers.clear()
        hubs[0].publish("t", "child")
        hubs.clear()
        gc.collect()

    in_child(child)
    published(hubs[0], 1, first=1)
    assert take(reader, 1) == ["1"]


def test_a_reader_of_the_parent_s_is_refused_in_the_child() -> None:
    """It would wait for a hub that nobody publishes to, and on locks that nobody may be left to release."""
    hub = Hub()
    reader, unstarted = hub.subscribe("t"), hub.subscribe("t")
    published(hub, 1)
    assert take(reader, 1) == ["0"]

    def child() -> None:
        with pytest.raises(ClosedError, match="subscribe in the child"):
            reader.get(timeout=1)
        reader.close()
        # What was only prepared reads the child's own hub.
        hub.publish("t", "child")
        assert take(unstarted, 1) == ["child"]

    in_child(child)
    published(hub, 1, first=1)
    assert take(reader, 1) == ["1"]


def _worker(hub: Hub, queue: multiprocessing.Queue[str]) -> None:
    use(hub)
    queue.put(hub.last_event_id)


def test_multiprocessing() -> None:
    context = multiprocessing.get_context("fork")
    hub = Hub()
    published(hub, 1)
    queue: multiprocessing.Queue[str] = context.Queue()
    workers = [context.Process(target=_worker, args=(hub, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    ids = {queue.get(timeout=SOON).partition("-")[0] for _ in workers}
    for worker in workers:
        worker.join(SOON)
        assert worker.exitcode == 0
    queue.close()
    queue.join_thread()
    assert len(ids) == 3
    use(hub)


MODES = {"detached": 20, "held": 3, "in-loop": 2}


@pytest.mark.parametrize("server", [SERVERS[0], UVICORN], ids=str)
@pytest.mark.timeout(120)
def test_a_fork_of_a_server_with_streams(server: Server) -> None:
    """The child has the clients' descriptors, too. It ends, or stays: the clients see neither."""
    with serving(server) as (child, address), ExitStack() as stack:
        wires = [
            stack.enter_context(Wire(address, f"/events?handoff={handoff}", headers=SSE))
            for mode, handoff in (("detached", "detach"), ("held", "hold"), ("in-loop", "off"))
            for _ in range(MODES[mode])
        ]
        wait_for(lambda: modes(address) == MODES, "all streams")
        ended = post(address, "", "/fork")
        assert post(address, "", f"/reap?child={ended}") == "0"
        post(address, "on")
        assert {wire.next().data for wire in wires} == {"on"}
        stays = int(post(address, "", "/fork?stay=1"))
        try:
            # One that leaves is still seen to leave, and the others get all.
            wires.pop(0).close()
            wait_for(lambda: modes(address) == {**MODES, "detached": 19}, "the end of one")
            post(address, "last")
            assert {wire.next().data for wire in wires} == {"last"}
            child.end(timeout=20)
            for wire in wires:
                assert wire.wait_end(), bytes(wire.body)
                assert b"from the child" not in bytes(wire.body)
        finally:
            os.kill(stays, signal.SIGKILL)
        no_complaints(child)


def test_a_child_ends_quietly() -> None:
    """Destructors of the parent's things, run at the child's ordinary end."""
    code = """
        import asyncio, os, sys
        import ssehub
        hub = ssehub.Hub()
        reader = hub.subscribe("t")
        hub.publish("t", "x")
        reader.get(timeout=5)

        loop = asyncio.new_event_loop()
        areader = hub.subscribe("t")
        hub.publish("t", "x")
        loop.run_until_complete(anext(areader))
        if os.fork() == 0:
            hub.publish("t", "y")
            hub.subscribe("t", last_event_id="earliest")
            sys.exit(0)
        assert os.wait()[1] == 0
        hub.publish("t", "z")
        loop.run_until_complete(anext(areader))
        loop.close()
        print("fine")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=SOON * 2,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)
