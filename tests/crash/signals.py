"""Faults of processes: killed, told to end, stopped, replaced by their successors."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from pathlib import Path

from tests.crash.aimed_kill import kill_command, touched
from tests.crash.round import Round
from tests.crash.served_store import ServedStore
from tests.crash.stored_log import Answer, asked

KILLS = 2
AIM_S = 3.0
LOOK_S = 0.0005
STOP_S = (0.9, 1.4)
"""Longer than the server's pings may go unanswered, and than a socket may take nothing."""


async def kill(here: Round) -> None:
    """kill -9 of the server, at random moments under load."""
    for _ in range(KILLS):
        await here.pause(0.1, 0.6)
        await here.server.kill()
        here.note("kill -9")
        await here.check_dead()
        await here.server.start()


async def kill_at_start(here: Round) -> None:
    """kill -9 of a server that starts: while it opens the store, or while everybody comes back."""
    await here.pause(0.1, 0.4)
    await here.server.kill()
    for _ in range(KILLS):
        here.server.spawn()
        await here.pause(0.2, 0.7)
        await here.server.kill()
        here.note("kill -9 at start")
    await here.check_dead()
    await here.server.start()


async def kill_in_snapshot(here: Round) -> None:
    """kill -9 while a snapshot is being written: chunks are there, and no row says what of."""
    for _ in range(KILLS):
        hit = await asyncio.to_thread(_unfinished_snapshot, here.store)
        await here.server.kill()
        here.note("kill -9 in a snapshot" if hit else "kill -9 beside a snapshot")
        here.count("hits in a snapshot", hit)
        await here.check_dead()
        await here.server.start()


def _unfinished_snapshot(store: Path) -> bool:
    """Wait for chunks that are nobody's yet; False when none were met in time."""
    return _appears(
        store,
        "SELECT count(*) FROM snapshot_chunk AS c WHERE NOT EXISTS"
        " (SELECT 1 FROM snapshot AS s WHERE s.room = c.room AND s.seq = c.seq)",
    )


def _appears(store: Path, counting: str) -> bool:
    """Wait until a count is not 0 in the files that a server writes."""
    database = f"file:{store / 'roomlog.sqlite3'}?mode=ro"
    deadline = time.monotonic() + AIM_S
    with contextlib.closing(sqlite3.connect(database, uri=True, isolation_level=None)) as reader:
        while time.monotonic() < deadline:
            (count,) = reader.execute(counting).fetchone()
            if count:
                return True
            time.sleep(LOOK_S)
    return False


async def drain(here: Round) -> None:
    """SIGTERM: what is under way is acknowledged, the exit code is 0, everybody comes back."""
    for _ in range(KILLS):
        await here.pause(0.1, 0.5)
        await here.server.drain()
        here.note("SIGTERM")
        await here.check_dead()
        await here.server.start()


async def kill_in_drain(here: Round) -> None:
    """SIGTERM, and kill -9 before it has ended."""
    for _ in range(KILLS):
        await here.pause(0.1, 0.5)
        here.server.signal(signal.SIGTERM)
        await here.pause(0.0, 0.06)
        await here.server.kill()
        here.note("SIGTERM, kill -9")
        await here.check_dead()
        await here.server.start()


async def end_twice(here: Round) -> None:
    """A second SIGTERM: it ends at once."""
    await here.pause(0.1, 0.5)
    before = here.server.log.stat().st_size
    here.server.signal(signal.SIGTERM)
    await here.pause(0.0, 0.03)
    here.server.signal(signal.SIGTERM)
    code = await here.server.ended()
    # The first may have been all that was needed; then the second can meet a process that is
    # leaving, and does not look after signals any more.
    is_drained = '"event": "stopped"' in here.server.logged(before)
    assert code in ((0, 1, -signal.SIGTERM) if is_drained else (1,)), (
        f"a second SIGTERM ended it with {code}"
    )
    here.note(f"SIGTERM twice, exit {code}")
    await here.check_dead()
    await here.server.start()


async def stop_server(here: Round) -> None:
    """SIGSTOP of the server: half-open for longer than pings may take. Nobody else gets in."""
    await here.pause(0.1, 0.4)
    here.server.signal(signal.SIGSTOP)
    second = ServedStore(here.store, here.directory / "second.log", {})
    try:
        pause = asyncio.create_task(here.pause(*STOP_S))
        refusal = await second.refusal()
        assert f"in use by process {here.server.pid}" in refusal, refusal
        await pause
    finally:
        await second.kill()
        here.server.signal(signal.SIGCONT)
    here.note("SIGSTOP, SIGCONT")
    await here.acknowledged_again()


async def stop_client(here: Round) -> None:
    """SIGSTOP of a client for longer than the server waits for a sign of life."""
    await here.pause(0.3, 0.6)
    for killed in here.killed:
        killed.signal(signal.SIGSTOP)
    await here.pause(*STOP_S)
    for killed in here.killed:
        killed.signal(signal.SIGCONT)
    here.note("clients stopped and continued")


async def kill_clients(here: Round) -> None:
    """kill -9 of clients with local stores, twice at any moment of their lives."""
    for _ in range(KILLS):
        await here.pause(0.4, 0.9)
        for killed in here.killed:
            killed.kill()
            killed.start()
        here.note("clients killed")


async def roll(here: Round) -> None:
    """Servers follow each other on one store: the next one starts while the last one drains."""
    for number in range(3):
        await here.pause(0.2, 0.4)
        old = here.server.process
        assert old is not None
        is_graceful = number != 1
        old.send_signal(signal.SIGTERM if is_graceful else signal.SIGKILL)
        refusals = await here.server.start_when_free()
        code = old.wait(timeout=10)
        assert code == (0 if is_graceful else -signal.SIGKILL), code
        here.server.kills += not is_graceful
        here.note(f"rolled, refused {refusals} times")
        await here.acknowledged_again()


async def kill_at_founding(here: Round) -> None:
    """kill -9 of a server that makes its store: there is none afterwards, or a whole one."""
    for _ in range(3):
        server = here.server.spawn()
        hit = await asyncio.to_thread(touched, here.store, server)
        await here.pause(0.0, 0.02)
        await here.server.kill()
        here.note("kill -9 at founding")
        here.count("hits in a founding", hit)
    await here.server.start()


async def kill_in_migration(here: Round) -> None:
    """`migrate up` of an older store, killed: the migration has happened, or it has not."""
    refusal = await here.server.refusal()
    assert "pending migrations" in refusal, refusal
    for _ in range(2):
        await kill_command(here, "a migration", "migrate", "up", "--store", here.store)
    answer = await asyncio.to_thread(lambda: Answer(asked("migrate", "up", "--store", here.store)))
    assert answer.code == 0, answer.err
    await here.server.start()


async def refound(here: Round) -> None:
    """The database is gone: the room is made again from clients' stores, by a command that dies."""
    await here.pause(0.4, 0.7)
    await here.server.drain()
    await here.check_dead()
    for path in list(here.store.iterdir()):
        if path.name.startswith("roomlog.sqlite3"):
            path.unlink()
    here.may_lack = True
    source = next(each.store for each in here.writers if each.number == 3)
    arguments = ("room", "refound", "demo", "--store", here.store, "--from", source)
    for _ in range(2):
        await kill_command(here, "a refounding", *arguments)
    answer = await asyncio.to_thread(lambda: Answer(asked(*arguments)))
    # One that was killed may have done it.
    assert answer.code == 0 or "holds the room demo already" in answer.err, answer.err
    await here.server.start()


async def kill_in_renewal(here: Round) -> None:
    """An older copy of the files is put back; kill -9 while the room takes its new epoch."""
    await here.pause(0.3, 0.6)
    here.server.signal(signal.SIGSTOP)
    copy = here.copy_of_store("older")
    here.server.signal(signal.SIGCONT)
    await here.pause(0.3, 0.6)
    await here.server.kill()
    await here.check_dead()
    here.put_back(copy)
    here.note("older copy put back")
    for attempt in range(KILLS):
        await here.server.start()
        if attempt:
            await here.pause(0.0, 0.1)
        else:
            hit = await asyncio.to_thread(_renewed, here.store)
            here.count("hits in a renewal", hit)
        await here.server.kill()
        here.note("kill -9 in a renewal")
    await here.server.start()


def _renewed(store: Path) -> bool:
    """Wait for a new epoch in the files: nobody has been told of it yet."""
    return _appears(store, "SELECT count(*) FROM reconcile_window")
