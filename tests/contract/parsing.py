"""Behaviours of a client's parser: what a stream says, however it is cut."""

from __future__ import annotations

from functools import partial

from stage import BEHAVIOURS, HELLO, Behaviour, Stage, behaviour

BOM = "\ufeff"


def parses(
    name: str, *pieces: str | bytes, data: tuple[str, ...], needs: str | None = None, **first: str
) -> None:
    """Adds a behaviour about one stream. `first` are other fields of the first event."""

    async def play(stage: Stage) -> None:
        _, stream, client = await stage.connected()
        if "type" in first:
            await client.listen(first["type"])
        for piece in pieces:
            await stream.send(piece)
        await client.gets(*data, **first)

    BEHAVIOURS.append(Behaviour(name, play, needs))


def basic(name: str, *pieces: str, data: tuple[str, ...], **first: str) -> None:
    """Adds a behaviour of the first chapter."""
    parses(f"basic parsing/{name}", *pieces, data=data, **first)


basic("one-line message in one chunk", HELLO, data=("Hello",))
basic("one-line message in two chunks", "data: Hel", "lo\n\n", data=("Hello",))
basic("two messages in one chunk", HELLO + "data: World\n\n", data=("Hello", "World"))
basic("two-line message", "data: Hello\ndata:World\n\n", data=("Hello\nWorld",))
basic("empty data", "data:\n\n", data=("",))
basic("specific type", f"event: greeting\n{HELLO}", data=("Hello",), type="greeting")
basic("default type", HELLO, data=("Hello",), type="message")
basic("id", f"id: abc\n{HELLO}", data=("Hello",), id="abc")
basic(
    "type and id", f"event: greeting\nid: abc\n{HELLO}", data=("Hello",), type="greeting", id="abc"
)
basic("id with NUL is ignored", f"id: a\0bc\n{HELLO}", data=("Hello",), id="")
basic(
    "reverse order",
    "data: Hello\nid: abc\nevent: greeting\n\n",
    data=("Hello",),
    type="greeting",
    id="abc",
)
basic("unknown field", f"event: greeting\ncolor: blue\n{HELLO}", data=("Hello",), type="greeting")
basic(
    "no space after the colon", "event:greeting\ndata:Hello\n\n", data=("Hello",), type="greeting"
)
basic(
    "two spaces after the colon",
    "event:  greeting\ndata:  Hello\n\n",
    data=(" Hello",),
    type=" greeting",
)
basic("field without colon", "data\n\ndata\ndata\n\n", data=("", "\n"))
basic("multi-byte characters", "data: €豆腐\n\n", data=("€豆腐",))
basic(
    "a hundred messages at once",
    "".join(f"data: message {n}\n\n" for n in range(100)),
    data=tuple(f"message {n}" for n in range(100)),
)


@behaviour("basic parsing/multi-byte characters byte by byte")
async def _(stage: Stage) -> None:
    _, stream, client = await stage.connected()
    await stream.send_in_pieces("data: €豆腐\n\n", 1, 0.02)
    await client.gets("€豆腐")


async def persists(stage: Stage, second: str, expected: str) -> None:
    _, stream, client = await stage.connected()
    await stream.send("id: abc\ndata: first\n\n")
    await stream.send(second)
    assert await client.event() == {"type": "message", "data": "first", "id": "abc"}
    assert await client.event() == {"type": "message", "data": "second", "id": expected}


behaviour("basic parsing/id persists")(partial(persists, second="data: second\n\n", expected="abc"))
behaviour("basic parsing/empty id resets")(
    partial(persists, second="id: \ndata: second\n\n", expected="")
)


def bom(name: str, *pieces: str | bytes, data: tuple[str, ...], **first: str) -> None:
    """Adds a behaviour about byte order marks."""
    parses(f"bom/{name}", *pieces, data=data, needs="bom", **first)


bom("stripped at the start", BOM + HELLO, data=("Hello",))
bom(
    "stripped before type and id",
    f"{BOM}event: greeting\nid: abc\n{HELLO}",
    data=("Hello",),
    type="greeting",
    id="abc",
)
bom("stripped once", f"{BOM}data: First\n\ndata: Second\n\n", data=("First", "Second"))
bom(
    "kept in the middle",
    "data: First\n\n",
    f"data: {BOM}Second\n\n",
    data=("First", f"{BOM}Second"),
)
bom("split in two", b"\xef\xbb", b"\xbf" + HELLO.encode(), data=("Hello",))
bom("split in three", b"\xef", b"\xbb", b"\xbf", HELLO, data=("Hello",))
bom("only the first is stripped", f"{BOM}data: {BOM}Hello\n\n", data=(f"{BOM}Hello",))
bom("none", HELLO, data=("Hello",))
bom("two-line data", f"{BOM}data: Line1\ndata: Line2\n\n", data=("Line1\nLine2",))
bom("empty data", f"{BOM}data:\n\n", data=("",))


@behaviour("bom/before a comment", needs="bom")
async def _(stage: Stage) -> None:
    _, stream, client = await stage.connected()
    await stream.send(f"{BOM}:comment\n{HELLO}")
    if "comments" in stage.service.capabilities:
        await client.comment("comment")
    await client.gets("Hello")


@behaviour("comments/one", needs="comments")
async def _(stage: Stage) -> None:
    _, stream, client = await stage.connected()
    await stream.send(":Hello\n")
    await client.comment("Hello")


@behaviour("comments/two", needs="comments")
async def _(stage: Stage) -> None:
    _, stream, client = await stage.connected()
    await stream.send(":Hello\n")
    await client.comment("Hello")
    await stream.send(":World\n")
    await client.comment("World")


@behaviour("comments/before an event", needs="comments")
async def _(stage: Stage) -> None:
    _, stream, client = await stage.connected()
    await stream.send(":Hello\n")
    await stream.send("data: World\n\n")
    await client.comment("Hello")
    await client.gets("World")


@behaviour("comments/after an event", needs="comments")
async def _(stage: Stage) -> None:
    _, stream, client = await stage.connected()
    await stream.send(HELLO)
    await stream.send(":World\n")
    await client.gets("Hello")
    await client.comment("World")


# Line ends.

SHAPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "one line": ("data: 1||", ("1",)),
    "one line and two lines": ("data: 1||data: 2a|data: 2b||", ("1", "2a\n2b")),
    "empty line first": ("data:|data: 2|data: 3||", ("\n2\n3",)),
    "empty line between": ("data: 1|data:|data: 3||", ("1\n\n3",)),
    "one blank line too many": ("data: 1|||data: 2||", ("1", "2")),
    "two blank lines too many": ("data: 1||||data: 2||", ("1", "2")),
}


async def line_ends(stage: Stage, text: str, data: tuple[str, ...], size: int) -> None:
    _, stream, client = await stage.connected()
    if size:
        await stream.send_in_pieces(text, size, 0.005)
    else:
        await stream.send(text)
    await client.gets(*data)


for ending, mark in {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}.items():
    for shape, (text, data) in SHAPES.items():
        for size in (0, 1, 2):
            pieces = f"{size}-byte chunks" if size else "one chunk"
            behaviour(f"linefeeds/{ending}/{shape}/{pieces}")(
                partial(line_ends, text=text.replace("|", mark), data=data, size=size)
            )

parses(
    "linefeeds/CRLF over chunks",
    "data: Hello\r",
    "\ndata: World\r",
    "\n\r\ndata: OK\r",
    "\n",
    "\r",
    "\n",
    data=("Hello\nWorld", "OK"),
)
