"""Plain asyncio, no server: readers in one program, and one that resumes where it left off.

Run:      python examples/python/asyncio_hub.py
"""

import asyncio

from ssehub import Hub, Subscription

hub = Hub()


async def read(name: str, subscription: Subscription) -> None:
    async for event in subscription:
        print(f"{name}: {event.event} {event.json()}")


async def main() -> None:
    # A subscription begins at the call, not when it is read first.
    orders = hub.subscribe("orders")
    everything = hub.subscribe("orders", "stock")
    readers = asyncio.gather(read("orders", orders), read("everything", everything))

    # From any thread, task or function: it never waits for a reader.
    hub.publish("orders", {"item": "kettle", "count": 2}, event="placed")
    hub.publish("stock", {"item": "kettle", "left": 7}, event="changed")
    await asyncio.sleep(0.1)

    # To go on later, the last id is enough: what came meanwhile is in the topic's history.
    position = orders.last_event_id
    hub.publish("orders", {"item": "teapot", "count": 1}, event="placed")
    missed = await anext(hub.subscribe("orders", last_event_id=position))
    print(f"resumed: {missed.event} {missed.json()}")
    await asyncio.sleep(0.1)

    hub.close()  # ends the readers' loops
    await readers


asyncio.run(main())
