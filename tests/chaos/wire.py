"""A response as it stands on the wire, taken apart strictly: what is not as the protocol says is an error of the server."""

from __future__ import annotations

from oracle import PromiseError


class Response:
    """The head, then the body's pieces, as bytes come in."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        # The body has ended as the protocol says.
        self.complete = False
        self._data = bytearray()
        self._chunked = False
        # What is still to come of a chunk; None between two. And whether it is the empty one, which ends the body.
        self._chunk: int | None = None
        self._is_last = False
        # Of a body that says how long it is: what is still to come.
        self._left: int | None = None

    @property
    def begun(self) -> bool:
        return self.status != 0

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body that came with these."""
        self._data += data
        if not self.begun and not self._take_head():
            return b""
        if not self._chunked:
            body = bytes(self._data)
            self._data.clear()
            if self._left is not None:
                self._left -= len(body)
                self.complete = self._left <= 0
            return body
        return self._take_chunks()

    def end(self) -> bool:
        """The connection has ended. Whether the body had, or that is its end."""
        return self.complete or (self.begun and not self._chunked and self._left is None)

    def _take_head(self) -> bool:
        head, found, rest = bytes(self._data).partition(b"\r\n\r\n")
        if not found:
            return False
        status, *fields = head.decode("latin-1").split("\r\n")
        if not status.startswith("HTTP/1.1 "):
            raise PromiseError(f"not a response: {status!r}")
        self.status = int(status.split(" ")[1])
        for field in fields:
            name, _, value = field.partition(":")
            self.headers[name.lower()] = value.strip()
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        if "content-length" in self.headers:
            self._left = int(self.headers["content-length"])
            self.complete = self._left == 0
        self._data = bytearray(rest)
        return True

    def _take_chunks(self) -> bytes:
        """What has come of chunks, whole or not: clients do not wait for the rest of one."""
        body = bytearray()
        while not self.complete:
            if self._chunk is not None:
                part = self._data[: self._chunk]
                body += part
                del self._data[: len(part)]
                self._chunk -= len(part)
                if self._chunk > 0 or len(self._data) < 2:
                    break
                if self._data[:2] != b"\r\n":
                    raise PromiseError(f"a chunk does not end: {bytes(self._data[:40])!r}")
                del self._data[:2]
                self._chunk = None
                self.complete = self._is_last
            line, found, _ = bytes(self._data[:12]).partition(b"\r\n")
            if self.complete or not found:
                break
            self._chunk = _size(line)
            self._is_last = self._chunk == 0
            del self._data[: len(line) + 2]
        if self.complete and self._data:
            raise PromiseError(f"behind the end of the body: {bytes(self._data[:80])!r}")
        if self._chunk is None and len(self._data) > 10:
            raise PromiseError(f"not a chunk: {bytes(self._data[:40])!r}")
        return bytes(body)


def _size(line: bytes) -> int:
    try:
        return int(line, 16)
    except ValueError:
        raise PromiseError(f"not the size of a chunk: {line!r}") from None
