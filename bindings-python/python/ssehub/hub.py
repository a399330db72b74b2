"""`Hub`: topics, publishing, subscribing, and the life of all streams."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ssehub import _ssehub
from ssehub._ssehub import Event
from ssehub.callbacks import call_back, tell_closed
from ssehub.errors import ArgumentError
from ssehub.handoff.reports import forget
from ssehub.loops import LoopHost, host_of
from ssehub.options import (
    History,
    Limits,
    OnGap,
    Pattern,
    Slow,
    history_values,
    milliseconds,
    whole,
)
from ssehub.shutdown import Lifespan
from ssehub.stats import Published, Stats, StreamInfo, TopicStats
from ssehub.subscription import Subscription

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Hub"]


class Hub(_ssehub.Hub):
    """Topics in memory, shared by all threads, tasks and event loops of this process.

    Making a hub starts nothing. A process that is forked later gets a hub of its own at first use.

    >>> hub = Hub()
    >>> reader = hub.subscribe("news")
    >>> hub.publish("news", {"title": "hello"}, event="posted")
    >>> reader.get(timeout=1).data
    '{"title":"hello"}'

    Args:
        url: Where hubs of several processes meet. This version has hubs in memory only: leave it out.
        name: A name for logs.
        history: What readers may replay, per topic.
        topics: Histories by topic name or pattern; the first that matches a topic counts.
        slow: What happens to a reader whose lag is over `max_lag`: "disconnect" (its client comes back and
            resumes), "skip" (it goes on with what is still there, after a gap event), or "conflate" (events that
            a newer one of the same topic and `key` has replaced are left out).
        max_lag: The lag limit, in bytes.
        retry: The reconnection time told to clients, in milliseconds.
        heartbeat: Seconds of silence after which a stream gets a comment; None for never.
        limits: Bounds.
        dumps: Replaces JSON: a function from an object to `str` or `bytes`.

    Raises:
        ArgumentError: where settings contradict, for example one event could exceed a history.
    """

    name: str | None
    limits: Limits
    heartbeat: float | None
    # The hub's streams by event loop: a short list, looked through once per new stream.
    _hosts: list[LoopHost]
    _hosts_lock: threading.Lock
    # The process that the hosts belong to.
    _process: int
    _on_open: list[Callable[[StreamInfo], object]]
    _on_close: list[Callable[[StreamInfo], object]]
    _captures: list[list[Published]]

    def __new__(
        cls,
        url: str | None = None,
        *,
        name: str | None = None,
        history: History = History(),  # noqa: B008 - frozen
        topics: Mapping[str, History] | None = None,
        slow: Slow = "disconnect",
        max_lag: int = 1 << 20,
        retry: int = 3000,
        heartbeat: float | None = 15.0,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        dumps: Callable[[Any], str | bytes] | None = None,
    ) -> Self:
        """Checks the settings. Nothing starts before the first use."""
        if url is not None:
            raise ArgumentError(
                f"Hub({url!r}): this version has hubs in memory only; call Hub() without a url"
            )
        if not isinstance(limits, Limits):
            raise TypeError(f"limits is given as Limits(...), not {limits!r}")
        if dumps is not None and not callable(dumps):
            raise TypeError(f"dumps is a function from an object to str or bytes, not {dumps!r}")
        for field in fields(limits):
            limit = getattr(limits, field.name)
            # No limit per key is None, and the only one that is.
            if limit is not None or field.default is not None:
                whole(limit, f"limits.{field.name}")
        self = super().__new__(
            cls,
            history=history_values(history),
            topics=[(topic, history_values(h)) for topic, h in (topics or {}).items()],
            slow=slow,
            max_lag=whole(max_lag, "max_lag"),
            retry=whole(retry, "retry"),
            heartbeat=milliseconds(heartbeat, "heartbeat"),
            write_timeout=30_000,
            limits={field.name: getattr(limits, field.name) for field in fields(limits)},
            dumps=dumps,
        )
        self.name = name
        self.limits = limits
        self.heartbeat = heartbeat
        self._hosts = []
        self._hosts_lock = threading.Lock()
        self._process = os.getpid()
        self._on_open = []
        self._on_close = []
        self._captures = []
        return self

    # Publishing.

    async def publish_async(
        self,
        topic: str | Sequence[str],
        data: Any,
        *,
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
        key: str | None = None,
    ) -> str:
        """Publishes, and returns the event's id once the event is in the log."""
        return self._publish(topic, data, event=event, id=id, retry=retry, key=key)

    def publish_wait(
        self,
        topic: str | Sequence[str],
        data: Any,
        *,
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Publishes, and returns the event's id once the event is in the log.

        `timeout` bounds the wait in seconds; a hub in memory never waits.
        """
        return self._publish(topic, data, event=event, id=id, retry=retry, key=key)

    def flush(self, timeout: float | None = None) -> None:
        """Waits until everything published is in the log. A hub in memory has nothing to wait for."""

    # Subscribing.

    def subscribe(
        self,
        *topics: str | Pattern,
        last_event_id: str | None = None,
        on_gap: OnGap = "replay",
        slow: Slow | None = None,
        max_lag: int | None = None,
    ) -> Subscription:
        """A position over topics, to be given to a response or iterated.

        The position is the newest event now: "subscribe, then read the database, then answer" loses nothing. An
        unstarted subscription holds nothing.

        Args:
            *topics: Exact names, whatever characters they have, or `pattern("orders.*")`.
            last_event_id: Start after this event instead; "earliest" starts at the oldest retained one. A
                client's own `Last-Event-ID` comes before it.
            on_gap: What follows a gap event: "replay" (everything still retained) or "live".
            slow: The policy over the lag limit, if not the hub's.
            max_lag: The lag limit in bytes, if not the hub's.

        Raises:
            ArgumentError: for no topics, names that are empty, too long or have control characters.
            LimitError: for more topics than limits.topics_per_subscription.
        """
        names: list[tuple[str, bool]] = []
        for topic in topics:
            if isinstance(topic, Pattern):
                names.append((topic.text, True))
            elif isinstance(topic, str):
                names.append((topic, False))
            else:
                raise TypeError(f"a topic is a str or pattern(...), not {topic!r}")
        if max_lag is not None:
            whole(max_lag, "max_lag")
        native = self._subscribe(
            names, last_event_id=last_event_id, on_gap=on_gap, slow=slow, max_lag=max_lag
        )
        resumes = last_event_id not in (None, "", "earliest")
        return Subscription(self, native, tuple(text for text, _ in names), resumes)

    def disconnect(
        self, *, key: str | None = None, topic: str | None = None, event: Event | None = None
    ) -> int:
        """Ends streams at their next event boundary: logout, revoked rights, bans.

        Streams that are up to date, or have just begun, still get what was published before this call; no stream that
        is ended gets anything that is published after it.

        Args:
            key: Streams of this key.
            topic: Streams that read this topic; with `key`, streams to which both apply.
            event: A farewell for them.

        Returns:
            How many streams are ended.
        """
        return self._disconnect(key=key, topic=topic, event=event)

    # Looking.

    def stats(self) -> Stats:
        """What the hub holds and has counted."""
        found = self._stats()
        detached, held = found.pop("detached"), found.pop("held")
        modes = {
            "in-loop": max(found["connections"] - detached - held, 0),
            "detached": detached,
            "held": held,
        }
        return Stats(connections_by_mode=modes, **found)

    def topics(self, prefix: str = "", limit: int = 100) -> list[TopicStats]:
        """Topics that have history or readers, by name."""
        return [TopicStats(*row) for row in self._topics(prefix, limit)]

    def on_open(self, function: Callable[[StreamInfo], object]) -> Callable[[StreamInfo], object]:
        """Calls `function(info)` once for each stream that opens. Usable as a decorator."""
        self._on_open.append(function)
        return function

    def on_close(self, function: Callable[[StreamInfo], object]) -> Callable[[StreamInfo], object]:
        """Calls `function(info)` once for each stream that is over. Usable as a decorator."""
        self._on_close.append(function)
        return function

    # The end.

    async def drain(
        self, timeout: float = 10.0, spread: float = 5.0, event: Event | None = None
    ) -> bool:
        """Ends all streams in an orderly way.

        New streams are refused; what was published before still goes out; each stream gets `event`, if given, and
        a time to come back that differs from the others'. The ends are spread over `spread` seconds, less where
        there are few streams, at most four fifths of `timeout`; what is left at `timeout` is cut.

        Returns:
            Whether all streams were gone in time. From the call on, `hub.ready` is False.
        """
        self._drain(timeout, spread, event)
        deadline = asyncio.get_running_loop().time() + timeout + 1
        # Streams end in other loops and threads, too: there is no one event to wait for.
        while self._has_streams() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return not self._connections

    def start_drain(
        self, timeout: float = 10.0, spread: float = 5.0, event: Event | None = None
    ) -> None:
        """Begins a drain and returns at once: for signal handlers and sync code."""
        self._drain(timeout, spread, event)

    def close(self) -> None:
        """Ends all streams and subscriptions at once; the hub takes no further calls."""
        self._close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lifespan(self, app: object = None) -> AbstractAsyncContextManager[None]:
        """The hub's part of an ASGI application's lifespan: `FastAPI(lifespan=hub.lifespan)`.

        At SIGTERM or SIGINT it drains the hub, beside the handlers that are already there, so that the server finds
        its connections ended and can stop. In a lifespan of your own: `async with hub.lifespan(app): yield`.
        """
        return Lifespan(self)

    # Tests.

    @contextmanager
    def capture(self) -> Iterator[list[Published]]:
        """Collects what is published inside the `with` block, from any thread. For tests.

        >>> hub = Hub()
        >>> with hub.capture() as published:
        ...     hub.publish("news", "hello", event="posted")
        >>> published[0].topics, published[0].event
        (('news',), Event('hello', event='posted'))
        """
        published: list[Published] = []
        self._captures.append(published)
        self._watch_publish()
        try:
            yield published
        finally:
            # By identity: two captures may have equal lists.
            self._captures = [other for other in self._captures if other is not published]
            self._watch_publish()

    def _watch_publish(self) -> None:
        """Puts a recorder before `publish`, while somebody captures."""
        for name in ("publish", "_publish"):
            if self._captures:
                setattr(self, name, self._recorder(getattr(super(), name)))
            else:
                self.__dict__.pop(name, None)

    def _recorder(self, native: Callable[..., Any]) -> Callable[..., Any]:
        def publish(
            topic: str | Sequence[str], data: Any, *, key: str | None = None, **fields: Any
        ) -> Any:
            result = native(topic, data, key=key, **fields)
            event = data if isinstance(data, Event) else Event(self._text(data), **fields)
            topics = (topic,) if isinstance(topic, str) else tuple(topic)
            for published in self._captures:
                published.append(Published(topics, event, key))
            return result

        return publish

    def reset(self) -> None:
        """Forgets all topics, streams and counters, as a new process would. For tests."""
        self._reset()
        forget(self)
        with self._hosts_lock:
            self._hosts.clear()

    # For the other modules of this package.

    def _host(self) -> LoopHost:
        """The hub's streams in the running event loop."""
        return host_of(self)

    def _has_streams(self) -> bool:
        """Whether there are streams, or ends of streams that have still to be told."""
        return bool(self._connections) or self._is_reporting()

    def _is_reporting(self, *, exiting: bool = False) -> bool:
        """Whether event loops have still to hear of streams that the engine has, or had; tells for those that cannot."""
        if self._process != os.getpid():
            return False
        hosts = tuple(self._hosts)
        for host in hosts:
            host.catch_up(exiting=exiting)
        return any(host.is_reporting(exiting=exiting) for host in hosts)

    def _opened(
        self, key: str | None, topics: tuple[str, ...], position: str, mode: str = "in-loop"
    ) -> None:
        """Tells everybody who wants to know of a stream that begins."""
        if self._on_open:
            info = StreamInfo(key, topics, "", mode, 0.0, 0, 0, position)
            for function in self._on_open:
                call_back(function, info)

    def _closed(
        self,
        info: dict[str, Any] | None,
        path: str,
        on_close: Callable[[StreamInfo], object] | None = None,
    ) -> None:
        """Tells everybody who wants to know of a stream that is over."""
        if info is None:
            return
        info["topics"] = tuple(info["topics"])
        stream = StreamInfo(**{"mode": "in-loop", **info})
        tell_closed(stream, path, [*self._on_close, on_close])
