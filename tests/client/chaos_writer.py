"""A client in this process that writes all kinds of things, and knows what has to be there."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.protocol.codec import Codec

KINDS = ("counter", "map", "text", "list", "branch", "transaction")


class Writer:
    """Somebody who writes all kinds of things, and now and then starts the program again.

    Number 0 has no local store, 1 follows its own keys only, 2 leaves older history where it is.
    """

    def __init__(self, number: int, seed: int, url: str, codec: Codec, directory: Path) -> None:
        self.number = number
        self.name = f"c{number}"
        self.is_partial = number == 1
        self.counts = 0
        self.texts = 0
        self.items: set[str] = set()
        self.acknowledged: set[bytes] = set()
        self.doc: Document
        self._random = random.Random(seed * 100 + number)
        self._url = url
        self._codec = codec
        self.store = directory / f"{number}.sqlite3" if number else None
        self._unacknowledged: list[bytes] = []

    async def open(self) -> None:
        doc = roomlog.connect(
            self._url,
            room="demo",
            identity=roomlog.Identity.from_seed(bytes([self.number + 1]) * 32),
            store=self.store,
            codec=self._codec,
            history="recent" if self.number == 2 else "full",
            subscribe=[f"{self.name}/**", self.name] if self.is_partial else None,
        )
        doc._backoff = Backoff(self._random.random, first_s=0.01, longest_s=0.1)
        self.doc = await doc.__aenter__()

    async def write(self, number: int, again: float = 0.04) -> None:
        """One edit, the `number`th, and with the probability `again` another start."""
        await self._edit(self._random.choice(KINDS), number)
        self.look()
        if self.store is not None and self._random.random() < again:
            await self.again()

    async def again(self) -> None:
        """End, and start with what the local store has."""
        await self.doc.close(timeout_s=0)
        self.look()
        await self.open()

    async def pause(self, most_s: float = 0.02) -> None:
        await asyncio.sleep(self._random.random() * most_s)

    async def _edit(self, kind: str, number: int) -> None:
        doc, name = self.doc, self.name
        if kind == "branch" and not self.is_partial:
            branch = doc.branch()
            branch.counter(name).add(1)
            self._unacknowledged += branch.commit()
            self.counts += 1
        elif kind == "transaction":
            async with doc.transaction():
                doc.map(name)["left"] = number
                doc.map(name)["right"] = number
        elif kind == "map":
            doc.map(name)[str(number % 7)] = number
        elif kind == "text" and not self.is_partial:
            text = doc.text("text")
            text.insert(self._random.randrange(len(text) + 1), chr(0x1F400 + self.number))
            self.texts += 1
        elif kind == "list" and not self.is_partial:
            items = doc.list("list")
            items.insert(self._random.randrange(len(items) + 1), f"{name} {number}")
            self.items.add(f"{name} {number}")
            items.move(self._random.randrange(len(items)), 0)
        else:
            doc.counter(name).add(1)
            self.counts += 1
        self._unacknowledged += await doc.flush()

    def look(self) -> None:
        """Remember what the server has acknowledged: from now on it must never be lost."""
        pending = {each for each in self._unacknowledged if self.doc.is_pending(each)}
        self.acknowledged.update(each for each in self._unacknowledged if each not in pending)
        self._unacknowledged = [each for each in self._unacknowledged if each in pending]

    def check_own(self, doc: Document) -> None:
        """What this one wrote is in `doc`, once."""
        assert doc.counter(self.name).value == self.counts
        assert doc.map(self.name).get("left") == doc.map(self.name).get("right")

    def check_shared(self, doc: Document) -> None:
        assert str(doc.text("text")).count(chr(0x1F400 + self.number)) == self.texts
        own = [each for each in doc.list("list") if str(each).startswith(f"{self.name} ")]
        assert sorted(own) == sorted(self.items)
