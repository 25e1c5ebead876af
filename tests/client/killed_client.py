"""A program that writes until it is killed: each key it prints was durable before.

Arguments: url, store, name, seed byte, mode. It is run by `test_killed_clients.py`.
"""

from __future__ import annotations

import asyncio
import sys

import roomlog


async def main() -> None:
    url, store, name, seed, mode = sys.argv[1:6]
    subscribe = [f"w/{name}-*"] if mode == "partial" else None
    async with roomlog.connect(
        url,
        room="demo",
        identity=roomlog.Identity.from_seed(bytes([int(seed)]) * 32),
        store=store,
        history="recent" if mode == "recent" else "full",
        subscribe=subscribe,
    ) as doc:
        first = len([key for key in doc.map("w") if key.startswith(f"{name}-")])
        print("open", flush=True)
        widths = ([f"w/{name}-*", "w/*"], [], [f"w/{name}-*"])
        widening: asyncio.Task[None] | None = None
        for number in range(first, first + 100_000):
            doc.map("w")[f"{name}-{number}"] = number
            await doc.flush()
            print(f"{name}-{number}", flush=True)
            if mode == "partial" and number % 7 == 0 and (widening is None or widening.done()):
                widening = asyncio.create_task(doc.subscribe(widths[number % 3]))
            await asyncio.sleep(0.003)


if __name__ == "__main__":
    asyncio.run(main())
