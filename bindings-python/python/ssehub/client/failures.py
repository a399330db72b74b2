"""From the native module's words to exceptions."""

from __future__ import annotations

from typing import Any

from ssehub import errors
from ssehub.client.messages import Headers

__all__ = ["to_error"]

_CLASSES: dict[str, type[errors.ClientError]] = {
    "connect": errors.ConnectError,
    "timeout": errors.StreamTimeoutError,
    "proxy": errors.ProxyError,
    "tls": errors.TlsError,
    "protocol": errors.ProtocolError,
    "status": errors.StatusError,
    "content_type": errors.ContentTypeError,
    "redirect": errors.RedirectError,
    "interrupted": errors.DisconnectedError,
    "ended": errors.StreamEndedError,
    "unfinished": errors.UnfinishedError,
    "decode": errors.DecodeError,
    "event_too_large": errors.OversizedEventError,
}


def to_error(about: dict[str, Any]) -> errors.ClientError:
    """The exception for what a source tells of a failure."""
    error = _CLASSES.get(about["kind"], errors.ClientError)(about["message"])
    error.url = about["url"]
    error.is_retryable = about["is_retryable"]
    error.attempt = about.get("attempt")
    error.delay = _seconds(about.get("delay"))
    if "status" in about:
        error.status = about["status"]
        error.headers = Headers(about["headers"])
        error.body = about["body"]
        error.retry_after = _seconds(about["retry_after"])
    return error


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
