"""Faults of files while nobody has them open: cut, flipped, removed, put back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.store.errors import StoreError
from tests.crash.aimed_kill import kill_command
from tests.crash.round import Round
from tests.crash.stored_log import ROOM, Answer, asked, stored_ids, stored_nodes, stored_packs

DATABASE = "roomlog.sqlite3"
WAL = "roomlog.sqlite3-wal"
SHM = "roomlog.sqlite3-shm"
KEY = "server.key"
LOCK = "lock"
PAGE_BYTES = 4_096

Harm = Callable[[Path, random.Random], None]


def _cut(path: Path, choose: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(choose.randrange(path.stat().st_size))


def _flip(path: Path, choose: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(choose.randint(1, 8)):
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    path.write_bytes(content)


def _blank(path: Path, choose: random.Random) -> None:
    """A page of zeros, as a disk gives back that lost one."""
    with path.open("r+b") as file:
        file.seek(choose.randrange(max(1, path.stat().st_size // PAGE_BYTES)) * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))


def _fill_with_noise(path: Path, choose: random.Random) -> None:
    path.write_bytes(choose.randbytes(choose.randint(1, 100)))


def _remove(path: Path, choose: random.Random) -> None:
    path.unlink()


def _make_older(path: Path, choose: random.Random) -> None:
    """This one file as it was, beside the others as they are."""
    shutil.copyfile(path.parent.with_name("older") / path.name, path)


HARMS: dict[str, tuple[str, Harm]] = {
    "database cut": (DATABASE, _cut),
    "database flipped": (DATABASE, _flip),
    "database page blank": (DATABASE, _blank),
    "database noise": (DATABASE, _fill_with_noise),
    "database gone": (DATABASE, _remove),
    "database older": (DATABASE, _make_older),
    "log older": (WAL, _make_older),
    "log cut": (WAL, _cut),
    "log flipped": (WAL, _flip),
    "log page blank": (WAL, _blank),
    "log gone": (WAL, _remove),
    "index cut": (SHM, _cut),
    "index flipped": (SHM, _flip),
    "key cut": (KEY, _cut),
    "key noise": (KEY, _fill_with_noise),
    "key gone": (KEY, _remove),
    "lock noise": (LOCK, _fill_with_noise),
    "lock gone": (LOCK, _remove),
}


async def damage(here: Round) -> None:
    """One file is damaged between two servers; then what is left is served, or is put back."""
    await here.pause(0.3, 0.6)
    here.server.signal(signal.SIGSTOP)
    older = here.copy_of_store("older")
    here.server.signal(signal.SIGCONT)
    await here.pause(0.2, 0.4)
    name = here.choose.choice(sorted(HARMS))
    file_name, harm = HARMS[name]
    if file_name in (WAL, SHM) or here.choose.random() < 0.5:
        await here.server.kill()
    else:
        await here.server.drain()
    await here.check_dead()
    healthy = here.copy_of_store("healthy")
    await _leaves_alone(here)
    known = {node.id for node in stored_nodes(here.store)}
    packs = await asyncio.to_thread(stored_packs, here.store)
    target = here.store / file_name
    harm(target, here.choose)
    here.note(f"damage: {name}")
    here.count(name)
    here.may_lack = True
    await _reads_what_is_left(here, packs)
    is_sound = is_gone = False
    if file_name != KEY and await asyncio.to_thread(_is_room_gone, here.store):
        # A server would found another room for strangers, and send everybody else away for good.
        here.note("the room is gone")
        is_gone = True
    elif await _serves(here, name):
        known |= {each.id for writer in here.writers for each in writer.doc.replica.nodes()}
        await _read_by_somebody(here, known)
        await here.server.kill()
        is_sound = await _is_sound(here)
    if is_gone or not (is_sound or await _is_mended(here)):
        copy = here.choose.choice((healthy, older))
        here.put_back(copy)
        here.note(f"{copy.name} copy put back")
    await here.server.start()
    await here.acknowledged_again()


async def _doctor(here: Round, *arguments: str) -> Answer:
    return await asyncio.to_thread(
        lambda: Answer(asked("doctor", "--store", here.store, *arguments))
    )


def _files(path: Path) -> dict[str, bytes]:
    # The index of the log is made anew by whoever reads.
    return {each.name: each.read_bytes() for each in path.iterdir() if each.name != SHM}


async def _leaves_alone(here: Round) -> None:
    """The doctor finds nothing wrong with what a killed or drained server left, and keeps off."""
    before = _files(here.store)
    answer = await _doctor(here, "--repair")
    assert answer.code == 0, answer.out + answer.err
    assert _files(here.store) == before, "the doctor touched a healthy store"


async def _reads_what_is_left(here: Round, before: dict[int, bytes]) -> None:
    """Of the damaged log each pack is read as it was, or it is refused."""
    left = await asyncio.to_thread(stored_packs, here.store)
    changed = [seq for seq, pack in left.items() if before.get(seq) != pack]
    assert not changed, f"damage was read as if it had been written: seq {changed[:9]}"
    here.note(f"{len(left)} of {len(before)} packs can be read")
    here.count("packs beside damage", len(left))
    here.count("packs in damage", len(before) - len(left))


async def _is_mended(here: Round) -> bool:
    """Whether the doctor explained the damage and left a store that can be served again."""
    found = await _doctor(here)
    assert found.code in (1, 2), f"the doctor sees nothing wrong: {found.out}"
    repair = ["doctor", "--repair", "--store", here.store, "--backup"]
    for number in range(here.choose.choice((0, 0, 2))):
        await kill_command(here, "a repair", *repair, here.directory / f"backup-{number}")
    answer = await _doctor(here, "--repair", "--backup", str(here.directory / "backup"))
    here.note(f"doctor: {answer.code} {' '.join((answer.out + answer.err).split())[:400]}")
    if answer.code != 0 or not await _is_sound(here):
        return False
    ids = await asyncio.to_thread(stored_ids, here.store)
    here.note(f"{len(ids)} nodes are left")
    here.count("mended by the doctor", bool(ids))
    return bool(ids)


def _is_room_gone(path: Path) -> bool:
    """Whether the store is one like any other, only that the room is not in it."""
    try:
        return not stored_ids(path) and not (path / WAL).exists()
    except StoreError:
        return False


async def _serves(here: Round, name: str) -> bool:
    """Whether a server takes the store; one that does not says why in a line."""
    if refusal := await here.server.refusal():
        here.note(f"refused: {refusal}")
        return False
    assert not name.startswith("key"), "a server without the key of its rooms was started"
    here.note("served")
    return True


async def _read_by_somebody(here: Round, known: set[bytes]) -> None:
    """A stranger reads what it is given: nothing that nobody ever wrote."""
    doc = roomlog.connect(here.server.url, room=ROOM, verify="all")
    doc._backoff = Backoff(lambda: 0.5, first_s=0.05, longest_s=0.1)
    async with doc:
        with contextlib.suppress(TimeoutError):
            await doc.synced(0.7)
        known |= {each.id for writer in here.writers for each in writer.doc.replica.nodes()}
        strangers = {node.author for node in doc.replica.nodes()} - here.authors
        strangers -= {doc.status.server_key}
        assert not strangers, "a damaged store invented authors"
        for node in doc.replica.nodes():
            if node.author in here.writer_keys:
                assert node.id in known, "a damaged store invented a node"


async def _is_sound(here: Round) -> bool:
    """What `roomlog verify` says of the stopped store, without losing its composure."""
    answer = await asyncio.to_thread(lambda: Answer(asked("verify", "--store", here.store)))
    here.note(f"verify: {answer.code} {answer.err.strip()}")
    return answer.code == 0
