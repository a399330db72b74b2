"""What a hub tells of itself: its counters, its topics, its streams, and what was published in a test."""

from __future__ import annotations

from dataclasses import dataclass

from ssehub._ssehub import Event

__all__ = ["Published", "Stats", "StreamInfo", "TopicStats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What a hub holds now, and what it has counted since its start.

    Attributes:
        connections: Streams to clients, now.
        connections_by_mode: The same by who has the socket: in-loop, detached, held (see `StreamInfo.mode`).
        subscriptions: Subscriptions that are iterated in code, now.
        topics: Topics that have history or readers, now.
        tombstones: Vanished topics that are remembered by name, now.
        history_frames: Events in histories, now; an event of several topics counts once.
        history_bytes: Their bytes on the wire.
        published: Events published.
        published_bytes: Their bytes.
        delivered: Events handed to readers.
        delivered_bytes: Their bytes.
        conflated: Events left out since a newer one of the same topic and key stood in for them.
        opened: Streams opened.
        refused: Streams refused, by a limit or a drain.
        gaps: Gap events told, by reason: expired, unknown, lagged.
        closed: Streams closed, by reason: client, slow, drain, kick, expired, max_age, error.
        handoffs_refused: Streams that were to be handed to the engine and stayed in-loop, by reason: tls, http2,
            method, transport, body, buffered, descriptors, platform, error. The log of `ssehub` has the remedy.
    """

    connections: int
    connections_by_mode: dict[str, int]
    subscriptions: int
    topics: int
    tombstones: int
    history_frames: int
    history_bytes: int
    published: int
    published_bytes: int
    delivered: int
    delivered_bytes: int
    conflated: int
    opened: int
    refused: int
    gaps: dict[str, int]
    closed: dict[str, int]
    handoffs_refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class TopicStats:
    """One topic: its readers, and what it retains."""

    name: str
    readers: int
    frames: int
    bytes: int
    last_event_id: str


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known of a stream, when it begins and when it is over.

    Attributes:
        key: Whose stream it was, as the response said.
        topics: What it read.
        reason: Why it ended: client, slow, drain, kick, expired, max_age, error, or finished for an iterable; "" while it has not.
        mode: Who had the client's socket: "detached" (the engine alone; the app server was done with the request at
            once), "held" (the app server, the engine writing), or "in-loop" (the app server, writing itself).
        duration: Seconds.
        events: Events handed to it.
        bytes: Their bytes.
        last_event_id: Its position.
    """

    key: str | None
    topics: tuple[str, ...]
    reason: str
    mode: str
    duration: float
    events: int
    bytes: int
    last_event_id: str


@dataclass(frozen=True, slots=True)
class Published:
    """One captured call of `publish`: where to, and what."""

    topics: tuple[str, ...]
    event: Event
    key: str | None
