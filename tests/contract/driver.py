"""Plays all behaviours with a service that speaks the test-service protocol of LaunchDarkly's sse-contract-tests.

    python tests/contract/driver.py --url http://127.0.0.1:8000 [--run TEXT] [--skip TEXT] [--list]

The service is started separately: see `python/service.py`. That harness itself can be pointed at it as well:

    sse-contract-tests --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from behaviours import BEHAVIOURS, Behaviour, Stage
from client import Service
from endpoints import Server

AT_ONCE = 8


@dataclass(frozen=True)
class Outcome:
    """What became of one behaviour. Neither a failure nor played: the service does not claim to do this."""

    name: str
    played: bool
    failure: str | None = None


async def run(
    url: str, behaviours: Sequence[Behaviour], host: str = "127.0.0.1", port: int = 0
) -> list[Outcome]:
    """Plays behaviours, several at a time."""
    service = Service(url)
    await service.start()
    limit = asyncio.Semaphore(AT_ONCE)
    async with Server(host, port) as server:

        async def one(behaviour: Behaviour) -> Outcome:
            async with limit:
                return await play(behaviour, service, server)

        return await asyncio.gather(*map(one, behaviours))


async def play(behaviour: Behaviour, service: Service, server: Server) -> Outcome:
    """Plays one behaviour."""
    if behaviour.needs is not None and behaviour.needs not in service.capabilities:
        return Outcome(behaviour.name, played=False)
    stage = Stage(service, server)
    failure = None
    try:
        async with stage.ends:
            await behaviour.play(stage)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
        failure = f"{type(error).__name__}: {error or 'nothing came in time'}"
    return Outcome(behaviour.name, played=True, failure=failure)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="the service")
    parser.add_argument("--host", default="127.0.0.1", help="where the service finds the driver")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--run", default="", help="only behaviours with this text in their name")
    parser.add_argument("--skip", help="none with this text in their name")
    parser.add_argument("--list", action="store_true", help="print the names, and play nothing")
    given = parser.parse_args()
    chosen = [
        behaviour
        for behaviour in BEHAVIOURS
        if given.run in behaviour.name and (not given.skip or given.skip not in behaviour.name)
    ]
    if given.list:
        print(*(behaviour.name for behaviour in chosen), sep="\n")
        return 0
    if given.url is None:
        parser.error("--url is required")
    outcomes = asyncio.run(run(given.url, chosen, given.host, given.port))
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    skipped = [outcome.name for outcome in outcomes if not outcome.played]
    for outcome in failed:
        print(f"FAILED {outcome.name}: {outcome.failure}")
    for name in skipped:
        print(f"not claimed: {name}")
    print(f"{len(outcomes) - len(failed) - len(skipped)} passed, {len(failed)} failed")
    return 1 if failed or len(skipped) == len(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
