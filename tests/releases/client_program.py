"""A client of whichever release is first on the path: writes, meets the other, prints a hash.

Run as `python client_program.py URL ROOM NAME OTHER`. Uses what 0.1.0 had.
"""

import asyncio
import json
import sys

import roomlog

SECONDS = 30.0


async def run(url: str, room: str, name: str, other: str) -> None:
    async with roomlog.connect(url, room=room, identity=roomlog.Identity.generate()) as doc:
        doc.text("notes").insert(0, f"{name} was here. ")
        doc.counter("visits").add(1)
        doc.list("names").append(name)
        doc.map("writers")[name] = roomlog.__version__
        await doc.synced(SECONDS)
        await seen(doc, "writers", other)
        doc.map("met")[name] = True
        await doc.synced(SECONDS)
        await seen(doc, "met", other)
        await doc.synced(SECONDS)
        state = doc.state_hash()
        shown = {
            "version": roomlog.__version__,
            "hash": state.hex,
            "complete": state.complete,
            "nodes": len(doc.replica),
        }
        print(json.dumps(shown), flush=True)


async def seen(doc: roomlog.Document, prefix: str, key: str) -> None:
    async with asyncio.timeout(SECONDS):
        changes = doc.changes()
        while key not in doc.map(prefix):
            await anext(changes)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:5]))
