"""The exceptions: one root, and what each means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssehub._ssehub import Event

__all__ = [
    "ArgumentError",
    "ClientError",
    "ClosedError",
    "ConnectError",
    "ContentTypeError",
    "DecodeError",
    "DisconnectedError",
    "DrainingError",
    "EventTooLargeError",
    "HandoffError",
    "LaggedError",
    "LimitError",
    "OversizedEventError",
    "ProtocolError",
    "ProxyError",
    "RedirectError",
    "SSEHubError",
    "StatusError",
    "StreamEndedError",
    "StreamTimeoutError",
    "TlsError",
    "UnfinishedError",
]


class SSEHubError(Exception):
    """The root of all exceptions of this package. Each message says what to do."""


class ArgumentError(SSEHubError, ValueError):
    """An argument that cannot work: a line break in an event type, settings that contradict."""


class EventTooLargeError(SSEHubError, ValueError):
    """An event is over a size limit, of the hub or of the parser.

    `events` are those that the parser had completed before, in the same call.
    """

    events: Sequence[Event] = ()


class LimitError(SSEHubError, RuntimeError):
    """A limit of the hub is reached: too many streams, too many topics. It may be free again later."""


class DrainingError(SSEHubError, RuntimeError):
    """The hub is ending its streams and takes no new ones."""


class ClosedError(SSEHubError, RuntimeError):
    """The hub is closed."""


class LaggedError(SSEHubError, RuntimeError):
    """A subscription was read too slowly: more than `max_lag` bytes were published meanwhile.

    Subscribe again with `last_event_id=subscription.last_event_id` to resume, read faster, raise
    `max_lag`, or choose `slow="skip"`.
    """


class HandoffError(SSEHubError, RuntimeError):
    """`handoff="require"` was asked for, and the connection cannot be handed to the engine."""


class ClientError(SSEHubError):
    """What went wrong between an `EventSource` and its server: at the end of it, or (as `on_error` sees) in one attempt.

    Attributes:
        url: Where: redirects followed, credentials left out.
        status: The status of the answer, where there was one that opened no stream.
        headers: The header fields of that answer.
        body: The first 64 KiB of its body, decompressed.
        retry_after: What its Retry-After says, in seconds from then.
        is_retryable: Whether the same request may succeed later.
        attempt: The number of the attempt, from 1; None for the error that ends the source.
        delay: Seconds until the next attempt; None: there will be none.
    """

    url: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    retry_after: float | None = None
    is_retryable: bool = False
    attempt: int | None = None
    delay: float | None = None


class ConnectError(ClientError, ConnectionError):
    """No connection: the name does not resolve, nobody listens, or it broke before an answer came."""


class ProxyError(ConnectError):
    """The proxy did not do what it was asked."""


class TlsError(ConnectError):
    """The server's certificate, or ours, was refused, or there is no common version of TLS."""


class StreamTimeoutError(ClientError, TimeoutError):
    """Nothing came in time: `connect_timeout` or `timeout`."""


class ProtocolError(ClientError):
    """What came is not HTTP."""


class StatusError(ClientError):
    """The server answered with a status that opens no stream. See `status`, `headers` and `body`."""


class ContentTypeError(ClientError):
    """The server answered with something other than `text/event-stream`. See `headers` and `body`."""


class RedirectError(ClientError):
    """A redirect that must not be followed. See `status` and `headers`."""


class DisconnectedError(ClientError):
    """An open stream broke off: the connection was cut before the response was whole."""


class StreamEndedError(ClientError):
    """An open stream ended in an orderly way. Seen by `on_error` as the reason of a reconnect; never raised."""


class UnfinishedError(ClientError):
    """The stream ended in an orderly way, but without the mark that `stop_on` names, or `require_finish` asks for.

    What came may be incomplete.
    """


class DecodeError(ClientError):
    """The compressed body cannot be decompressed."""


class OversizedEventError(ClientError, EventTooLargeError):
    """An event over the source's `max_event_size`."""
