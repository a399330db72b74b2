"""`python stream_server.py PORT LLM LARGE`: streams for clients, cheap to send, in a process of its own.

GET /llm, /large       a whole corpus, by sendfile
GET /fast              nothing: it is there
GET /llm/paced?rate=N&count=M
                       so many events a second, one write each
GET /llm/many?clients=N&rounds=R&pause=S
                       one event at once; when so many clients are there, one more for all of them in each round
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Streams:
    """What is sent, and to whom."""

    def __init__(self, corpora: dict[str, Path]) -> None:
        self.corpora = corpora
        self.blocks = corpora["llm"].read_bytes().split(b"\n\n")[:-1]
        self.waiting: list[asyncio.StreamWriter] = []
        self.rounds: asyncio.Task[None] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.answer(reader, writer)
        except ConnectionError:
            pass  # The client has seen enough.
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        url = urlsplit(request.split(" ")[1])
        asked = {name: float(value) for name, value in parse_qsl(url.query)}
        _, name, *how = url.path.split("/")
        if name not in self.corpora:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        writer.write(HEAD)
        if how == ["paced"]:
            await self.pace(writer, asked["rate"], int(asked["count"]))
        elif how == ["many"]:
            writer.write(self.blocks[0] + b"\n\n")
            self.waiting.append(writer)
            if len(self.waiting) == asked["clients"]:
                self.rounds = asyncio.create_task(
                    self.broadcast(int(asked["rounds"]), asked["pause"])
                )
            await reader.read()
        else:
            await writer.drain()
            with self.corpora[name].open("rb") as file:
                await asyncio.get_running_loop().sendfile(writer.transport, file)

    async def pace(self, writer: asyncio.StreamWriter, rate: float, count: int) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number, block in enumerate(self.blocks[:count]):
            await asyncio.sleep(max(begin + number / rate - loop.time(), 0))
            writer.write(block + b"\n\n")

    async def broadcast(self, rounds: int, pause: float) -> None:
        writers, self.waiting = self.waiting, []
        for number in range(rounds):
            await asyncio.sleep(pause)
            for writer in writers:
                writer.write(self.blocks[number] + b"\n\n")


async def main(port: int, llm: str, large: str) -> None:
    streams = Streams({"llm": Path(llm), "large": Path(large)})
    server = await asyncio.start_server(streams.serve, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
