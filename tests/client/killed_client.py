"""A program that writes until it is killed: each key it prints was durable before.

`acked ID` tells of a node that the server has acknowledged. Arguments: url, store, name, seed byte,
mode (whole, recent, partial).
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
        unacknowledged: list[bytes] = []
        for number in range(first, first + 100_000):
            # Before the room was met, nodes have other ids than they will have in it.
            is_final = not doc.status.is_draft
            doc.map("w")[f"{name}-{number}"] = number
            ids = await doc.flush()
            print(f"{name}-{number}", flush=True)
            unacknowledged += ids if is_final else ()
            for each in [each for each in unacknowledged if not doc.is_pending(each)]:
                unacknowledged.remove(each)
                print(f"acked {each.hex()}", flush=True)
            if mode == "partial" and number % 7 == 0 and (widening is None or widening.done()):
                widening = asyncio.create_task(doc.subscribe(widths[number % 3]))
            await asyncio.sleep(0.003)


if __name__ == "__main__":
    asyncio.run(main())
