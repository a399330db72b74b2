"""How Python hears of the WSGI streams that the engine has: in batches, on no thread of a request's.

A stream has no Python object while the engine has it, unless somebody waits for its end.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ssehub._ssehub import Reports, Selector, Slot

if TYPE_CHECKING:
    from ssehub.hub import Hub
    from ssehub.stats import StreamInfo

__all__ = ["Handed", "Reporter", "forget", "reporter_of", "settle"]


@dataclass(slots=True)
class Handed:
    """A stream on its way to the engine.

    Attributes:
        path: Its request's.
        on_close: Called when it is over.
        over: Set when it is over: for whoever holds the connection. None where nobody does.
        clean: Whether its last frame was whole then.
    """

    path: str
    on_close: Callable[[StreamInfo], object] | None = None
    over: threading.Event | None = None
    clean: bool = False
    tag: int = field(default=0, init=False)


class Reporter:
    """A hub's streams that came from WSGI servers and are the engine's now."""

    def __init__(self, hub: Hub) -> None:
        self._hub = weakref.ref(hub)
        self._tags = itertools.count(1)
        # Streams whose end somebody waits for.
        self._awaited: dict[int, Handed] = {}
        # Streams whose begin has not been told yet, and their ends, should they be over already.
        self._beginning: dict[int, list[tuple[int, str, dict[str, Any]]]] = {}
        # How many streams the engine has, or somebody is being told of.
        self._untold = 0
        self._counting = threading.Lock()
        this = weakref.ref(self)

        def deliver() -> None:
            reporter = this()
            if reporter is not None:
                reporter.deliver()

        self._reports = Reports(hub, _waker(deliver))

    def hand_off(
        self, selector: Selector, token: int, slot: Slot, fd: int, handed: Handed, **how: Any
    ) -> None:
        """Moves a stream to the engine. Its end is not told before `begun`. OSError: nothing has happened."""
        tag = handed.tag = next(self._tags)
        if handed.on_close is not None or handed.over is not None:
            self._awaited[tag] = handed
        self._beginning[tag] = []
        self._count(1)
        try:
            selector.hand_off(
                token, slot, fd, reports=self._reports, tag=tag, label=handed.path, **how
            )
        except BaseException:
            self._count(-1)
            del self._beginning[tag]
            self._awaited.pop(tag, None)
            raise

    def begun(self, handed: Handed) -> None:
        """Everybody has been told of the stream's begin."""
        self._tell_early(self._beginning.pop(handed.tag))

    def end(self, handed: Handed, reason: str) -> None:
        """Ends a held stream; it is reported as any other."""
        self._reports.remove(handed.tag, reason)

    def deliver(self) -> None:
        """Tells everybody of the streams that are over."""
        for report in self._reports.take():
            early = self._beginning.get(report[0])
            if early is None:
                self._tell(*report)
                continue
            # Its begin comes first. Whoever takes the report out of the list, tells it.
            early.append(report)
            if report[0] not in self._beginning:
                self._tell_early(early)

    @property
    def busy(self) -> bool:
        """Whether there are streams whose end has still to be told, or is being told just now."""
        return self._untold > 0

    def _count(self, more: int) -> None:
        with self._counting:
            self._untold += more

    def _tell_early(self, early: list[tuple[int, str, dict[str, Any]]]) -> None:
        try:
            report = early.pop()
        except IndexError:
            return
        self._tell(*report)

    def _tell(self, tag: int, path: str, info: dict[str, Any]) -> None:
        handed = self._awaited.pop(tag, None)
        clean = bool(info.pop("clean"))
        if handed is not None and handed.over is not None:
            # First, so that the server ends the response at once.
            handed.clean = clean
            handed.over.set()
        hub = self._hub()
        try:
            if hub is not None:
                hub._closed(info, path, None if handed is None else handed.on_close)
        finally:
            self._count(-1)


def _waker(deliver: Callable[[], None]) -> Callable[[], None]:
    """How the engine has `deliver` called: on its own thread, or, where threads are gevent's, by a greenlet."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return deliver
    import gevent  # type: ignore[import-untyped]

    # Callbacks of users may wait; what waits in gevent's world must be a greenlet of its loop.
    watcher = gevent.get_hub().loop.async_(ref=False)
    watcher.start(gevent.spawn, deliver)
    send: Callable[[], None] = watcher.send
    return send


_reporters: weakref.WeakKeyDictionary[Hub, Reporter] = weakref.WeakKeyDictionary()


def reporter_of(hub: Hub) -> Reporter:
    """The one of a hub."""
    found = _reporters.get(hub)
    return _reporters.setdefault(hub, Reporter(hub)) if found is None else found


def settle(hubs: Iterable[Hub], timeout: float) -> None:
    """Waits until the engine has no stream of these hubs and everybody has been told, but no longer than `timeout`."""
    deadline = time.monotonic() + timeout
    pending = list(hubs)
    while pending and time.monotonic() < deadline:
        pending = [hub for hub in pending if not _is_settled(hub)]
        time.sleep(0.01 if pending else 0)


def _is_settled(hub: Hub) -> bool:
    if hub._stats()["detached"] or hub._is_reporting(exiting=True):
        return False
    reporter = _reporters.get(hub)
    if reporter is None:
        return True
    reporter.deliver()
    return not reporter.busy


def forget(hub: Hub) -> None:
    """The hub begins anew: what is told of its former streams is told to nobody."""
    _reporters.pop(hub, None)


# Reporters of a parent process: kept, so that their destructors never run here.
_forgotten: list[object] = []


def _forget() -> None:
    global _reporters
    _forgotten.append(_reporters)
    _reporters = weakref.WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
