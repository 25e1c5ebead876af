"""The server's store under any schedule of commits, failing calls, full disks and lost power."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.store.errors import StoreUnavailable
from roomlog.store.sqlite import SqliteStore, migrate
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.migration import Build
from tests.simulation.disk import Call, Fault, Loss, SimulatedDisk
from tests.simulation.disk.watched_store import STORE_ID, WatchedStore

NAMES = "abcd"
FIRST_BUILD = Build("0.0.1", 1, 1, 1, THIS_BUILD.migrations[:1])
WORK = ("commit", "commit", "commit", "large commit", "create", "renew", "snapshot", "look")
TROUBLE = ("call fails", "call fails", "calls fail", "full", "room", "clean pages forgotten")
ENDS = ("power loss", "power loss", "crash", "close")


def work(watched: WatchedStore, kind: str, chance: random.Random) -> None:
    """One thing that a server asks of its store."""
    if not watched.open():
        return
    if kind == "commit":
        names = chance.sample(NAMES, chance.randrange(1, 4))
        watched.commit({name: chance.randrange(1, 4) for name in names})
    elif kind == "large commit":
        watched.commit({chance.choice(NAMES): 1}, "x" * chance.choice((3_000, 60_000)))
    elif kind == "create":
        watched.create_rooms(*chance.sample(NAMES, chance.randrange(1, 4)))
    elif kind == "renew":
        watched.renew_epoch(chance.choice(NAMES))
    elif kind == "snapshot":
        watched.take_snapshot(chance.choice(NAMES), chance.choice((10, 5_000, 300_000)))
    else:
        watched.look()


def trouble(disk: SimulatedDisk, kind: str, chance: random.Random) -> None:
    """One thing that goes wrong, now or soon."""
    call = chance.choice((Call.ANY, Call.SYNC, *list(Call)))
    if kind == "call fails":
        disk.fail_call(chance.randrange(1, 20), call, chance.choice(list(Fault)))
    elif kind == "calls fail":
        disk.fail_call(chance.randrange(1, 5), call, times=chance.randrange(2, 6))
    elif kind == "full":
        disk.capacity_bytes = disk.used_bytes() + chance.randrange(20_000)
    elif kind == "room":
        disk.capacity_bytes = None
    else:
        disk.forget_clean_pages()


def end(watched: WatchedStore, kind: str, chance: random.Random) -> None:
    """One way in which the store's process ends."""
    if kind == "power loss":
        watched.disk.power_loss(chance.choice(list(Loss)))
    elif kind == "crash":
        watched.disk.crash()
    watched.close()


def run(disk: SimulatedDisk, schedule: list[tuple[str, int]]) -> None:
    """A schedule, then a good disk: everything is there, and the store goes on."""
    watched = WatchedStore(disk)
    for kind, seed in schedule:
        chance = random.Random(seed)
        if kind in WORK:
            work(watched, kind, chance)
        elif kind in TROUBLE:
            trouble(disk, kind, chance)
        else:
            end(watched, kind, chance)
        if not disk.is_on:
            end(watched, "power loss", chance)
    disk.faults.clear()
    disk.capacity_bytes = None
    watched.close()
    assert watched.open()
    watched.create_rooms("last")
    watched.commit({"last": 1})
    assert watched.look()
    watched.close()


@settings(max_examples=150, deadline=None)
@given(
    schedule=st.lists(
        st.tuples(st.sampled_from(WORK + TROUBLE + ENDS), st.integers(0, 1_000)), max_size=40
    ),
    checkpoint_pages=st.sampled_from((1, 3, 8, 1_000)),
    cache_pages=st.sampled_from((None, 10)),
    log_bytes=st.sampled_from((None, 0, 20_000)),
    seed=st.integers(0, 1_000),
)
def test_any_schedule_leaves_what_a_naive_model_allows(
    schedule: list[tuple[str, int]],
    checkpoint_pages: int,
    cache_pages: int | None,
    log_bytes: int | None,
    seed: int,
) -> None:
    with tempfile.TemporaryDirectory() as root:
        disk = SimulatedDisk(Path(root), random.Random(seed))
        disk.limits.wal_autocheckpoint = checkpoint_pages
        disk.limits.cache_pages = cache_pages
        disk.limits.journal_size_limit = log_bytes
        try:
            run(disk, schedule)
        finally:
            disk.close()


def everything(watched: WatchedStore) -> None:
    """What a store is asked for, once."""
    watched.open()
    watched.create_rooms("a", "b")
    watched.commit({"a": 1, "b": 2})
    watched.look()
    watched.commit({"a": 2}, "x" * 6_000)
    watched.renew_epoch("a")
    watched.take_snapshot("b", 9_000)
    watched.look()
    watched.close()
    watched.open()
    watched.create_rooms("c", "a")
    watched.commit({"c": 3, "a": 1})


def meet(root: Path, number: int, fault: Fault, seed: int) -> bool:
    """`everything` with its `number`th call failing; whether there was one."""
    disk = SimulatedDisk(root, random.Random(seed))
    disk.limits.wal_autocheckpoint = (3, 8, 1_000)[seed % 3]
    disk.limits.cache_pages = 10
    watched = WatchedStore(disk)
    try:
        disk.fail_call(number, Call.ANY, fault)
        everything(watched)
        was_met = not disk.faults.is_pending
        disk.faults.clear()
        if disk.is_on and seed % 2:
            watched.open()
            watched.commit({"a": 1, "b": 1})
        disk.power_loss((Loss.RANDOM, Loss.EVERYTHING, Loss.TORN)[seed // 3 % 3])
        watched.close()
        assert watched.open()
        watched.create_rooms("a", "b")
        watched.commit({"a": 1, "b": 2})
        assert watched.look()
        watched.close()
    finally:
        disk.close()
    return was_met


@pytest.mark.parametrize("fault", Fault)
def test_any_one_failing_call_loses_nothing_that_was_committed(
    tmp_path: Path, fault: Fault
) -> None:
    step = len(Fault)
    number = 1 + list(Fault).index(fault)
    while meet(tmp_path / str(number), number, fault, number):
        number += step
    assert number > 200


@pytest.mark.parametrize("fault", Fault)
def test_a_migration_cut_short_at_any_call_happened_or_did_not(
    tmp_path: Path, fault: Fault
) -> None:
    number = 0
    was_met = True
    while was_met:
        number += 1
        disk = SimulatedDisk(tmp_path / str(number), random.Random(number))
        path = disk.root / "store"
        SqliteStore.open(
            path, store_id=STORE_ID, now_ms=1, connect=disk.connect, build=FIRST_BUILD
        ).close()
        disk.fail_call(number, Call.ANY, fault)
        applied: list[str] | None = None
        with contextlib.suppress(StoreUnavailable):
            applied = migrate.apply(path, now_ms=2, connect=disk.connect)
        was_met = not disk.faults.is_pending
        disk.power_loss()
        version = migrate.status(path, connect=disk.connect).store.schema_version
        assert version in ((2,) if applied is not None else (1, 2)), number
        migrate.apply(path, now_ms=3, connect=disk.connect)
        watched = WatchedStore(disk)
        assert watched.open()
        watched.create_rooms("a")
        watched.commit({"a": 1})
        assert watched.look()
        watched.close()
        disk.close()
    assert number > 20
