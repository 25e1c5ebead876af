"""Writes down a release for ever: its pure wheel, its manifest, and stores and packs it wrote.

    python scripts/release.py            into vectors/releases/ and vectors/zoo/VERSION/

Later builds open the zoo and talk to the wheel in their tests. What a release has written here is
never written again: the program refuses to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import roomlog
from roomlog.client.document import Document
from roomlog.server.manifest import build_manifest

ROOT = Path(__file__).parents[1]
RELEASES = ROOT / "vectors" / "releases"
ZOO = ROOT / "vectors" / "zoo"
ROOM = "zoo"
HEADS = 20
SETTLE_SECONDS = 30.0
SETTINGS = {
    "ROOMLOG_SNAPSHOT_EVERY_NODES": "100",
    "ROOMLOG_SNAPSHOT_MARGIN_NODES": "1",
    "ROOMLOG_SNAPSHOT_WORTH_NODES": "50",
    "ROOMLOG_TICK_MS": "100",
}


def main() -> None:
    version = roomlog.__version__
    if "dev" in version:
        sys.exit(f"{version} is no release: set __version__ first")
    if f"## {version}" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        sys.exit(f"CHANGELOG.md says nothing of {version}")
    zoo = ZOO / version
    manifest = RELEASES / f"roomlog-{version}.manifest.json"
    if zoo.exists() or manifest.exists():
        sys.exit(f"{version} was written down before: what it wrote does not change")
    RELEASES.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(RELEASES)
    shown = {name: value for name, value in build_manifest().items() if name != "python"}
    manifest.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / version
        made.mkdir()
        asyncio.run(fill(made))
        shutil.copytree(made, zoo, ignore=shutil.ignore_patterns("lock", "*.lock", "*-shm"))
    print(
        f"written: {wheel.relative_to(ROOT)}, {manifest.relative_to(ROOT)}, {zoo.relative_to(ROOT)}"
    )


def build_wheel(directory: Path) -> Path:
    """The pure wheel of this tree, built from a copy so that nothing is left behind."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree / name)
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / "src", tree / "src", ignore=ignored)
        wheels = Path(scratch) / "wheels"
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        options = ["--no-build-isolation", "--wheel-dir", str(wheels), str(tree)]
        environment = {k: v for k, v in os.environ.items() if k != "HATCH_BUILD_HOOKS_ENABLE"}
        subprocess.run([*command, *options], check=True, env=environment)
        (built,) = wheels.glob("*-py3-none-any.whl")
        return Path(shutil.copy(built, directory / built.name))


@contextlib.contextmanager
def serving(store: Path) -> Iterator[str]:
    """This build's server on a store; the URL. Ended before the store is copied."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ROOMLOG_")}
    where = ("--store", str(store), "--bind", f"127.0.0.1:{port}")
    process = subprocess.Popen(
        [sys.executable, "-m", "roomlog", "serve", *where, "--log-level", "warning"],
        env={**inherited, **SETTINGS},
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(SETTLE_SECONDS):
            sys.exit("the server did not end well")


async def fill(directory: Path) -> None:
    """A server's store, a client's store with unsent writes, a pack file, and what they say."""
    with serving(directory / "store") as url:
        await write_room(url, directory)
        expected = await read_room(url, directory)
        await wait_for_snapshot(url)
    await write_offline(url, directory, expected)
    (directory / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", "utf-8")


async def write_room(url: str, directory: Path) -> None:
    """Every kind of operation, concurrency, deletions, merges and enough for a snapshot."""
    one = roomlog.connect(url, room=ROOM, identity=roomlog.Identity.generate(), label="one")
    two = roomlog.connect(url, room=ROOM, identity=roomlog.Identity.generate(), label="two")
    async with one, two:
        one.text("notes").insert(0, "The quick brown fox \U0001f98a jumps over the lazy dog.")
        await one.synced(SETTLE_SECONDS)
        await two.synced(SETTLE_SECONDS)
        for document in (one, two):
            write_kinds(document)
        await settle(one, two)
        one.text("notes").delete(4, 6)
        two.text("notes").insert(8, "very ")
        one.list("todo").delete(0)
        del two.map("people")["gone"]
        await settle(one, two)
        for number in range(HEADS):
            branch = one.branch(list(one.frontier)[:1])
            branch.map("heads")[str(number)] = number
            branch.commit()
        await settle(one, two)
        for number in range(300):
            two.text("long").insert(number, "abcdefghij"[number % 10])
            await two.flush()
        await settle(one, two)
        async with one.transaction():
            for number in range(50):
                one.map("bulk")[str(number)] = {"number": number, "name": f"n{number}"}
        await settle(one, two)
        (directory / "room.pack").write_bytes(one.export())


def write_kinds(document: Document) -> None:
    people = document.map("people")
    people["ada"] = {"born": 1815, "tags": ["mathematics", None, True, 1.5, b"\x00\xff"]}
    people["gone"] = "deleted later"
    document.counter("visits").add(2**53)
    document.counter("visits").add(-3)
    todo = document.list("todo")
    for entry in ("first", "second", "third"):
        todo.append(entry)
    todo.move(2, 0)
    todo[1] = {"changed": True}
    document.text("notes").insert(3, " [\u00e9\u0301\u4e2d]")


async def wait_for_snapshot(url: str) -> None:
    """Until a newcomer joins by a snapshot: then the store has one."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            async with roomlog.connect(url, room=ROOM) as doc:
                await doc.synced(SETTLE_SECONDS)
                if doc.status.catch_up == "snapshot":
                    return
            await asyncio.sleep(0.2)


async def settle(*documents: Document) -> None:
    for _ in range(2):
        for document in documents:
            await document.synced(SETTLE_SECONDS)
    await asyncio.sleep(0.5)


async def read_room(url: str, directory: Path) -> dict[str, Any]:
    """A client with a local store reads the room; what it sees is what is expected for ever."""
    key = directory / "client.key"
    async with roomlog.connect(url, room=ROOM, identity=key, store=directory / "client.db") as doc:
        await doc.synced(SETTLE_SECONDS)
        await doc.history()
        doc.map("people")["client"] = "was here"
        await doc.synced(SETTLE_SECONDS)
        return {
            "room": ROOM,
            "lineage": doc.replica.lineage.hex(),
            "nodes": len(doc.replica),
            "frontier": [each.hex() for each in doc.frontier],
            "state_hash": doc.state_hash().hex,
            "notes": str(doc.text("notes")),
            "visits": str(doc.counter("visits").value),
        }


async def write_offline(url: str, directory: Path, expected: dict[str, Any]) -> None:
    """The same client writes while there is no server: its store keeps that for later."""
    key, store = directory / "client.key", directory / "client.db"
    document = roomlog.connect(url, room=ROOM, identity=key, store=store, close_timeout_s=0)
    async with document as doc:
        doc.text("notes").insert(0, "Written offline. ")
        await doc.flush()
        expected["unsent"] = [each.hex() for each in doc.pending]
        expected["state_hash_with_unsent"] = doc.state_hash().hex


if __name__ == "__main__":
    main()
