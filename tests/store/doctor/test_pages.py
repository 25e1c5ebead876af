"""Reading a database below SQLite gives what SQLite gives."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from roomlog.store.doctor.page_images import PageImages
from roomlog.store.doctor.records import Cell, cells_of

WORDS = ("", "short", "a text of some length", "ä ö ü")


def values_of(generator: random.Random) -> tuple[object, ...]:
    """A row with values of every type, some so large that they lie on pages of their own."""
    return (
        generator.choice((None, 0, 1, -1, 127, -128, 1 << 14, -(1 << 20), 1 << 30, -(1 << 40))),
        generator.choice((1 << 47, -(1 << 62), (1 << 63) - 1, 2.5)),
        generator.choice(WORDS),
        generator.randbytes(generator.choice((0, 3, 480, 4_000, 4_100, 30_000))),
    )


def make_database(path: Path, seed: int, page_bytes: int) -> sqlite3.Connection:
    generator = random.Random(seed)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_bytes}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE named (row INTEGER PRIMARY KEY, a, b, c, d)")
    connection.execute(
        "CREATE TABLE keyed (k TEXT, n INTEGER, a, b, c, d, PRIMARY KEY (k, n)) WITHOUT ROWID"
    )
    for number in range(120):
        row = number if generator.random() < 0.9 else -number
        connection.execute("INSERT INTO named VALUES (?, ?, ?, ?, ?)", (row, *values_of(generator)))
        key = (generator.choice(WORDS), number)
        connection.execute(
            "INSERT INTO keyed VALUES (?, ?, ?, ?, ?, ?)", (*key, *values_of(generator))
        )
        if number % 40 == 30:
            connection.execute("DELETE FROM named WHERE row % 3 = 1")
            connection.execute("DELETE FROM keyed WHERE n % 4 = 1")
        if number == 60:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return connection


def plain(row: tuple[object, ...]) -> str:
    return repr(row)


@pytest.mark.parametrize("seed", range(6))
def test_pages_and_their_log_hold_the_rows_that_sqlite_reads(seed: int, tmp_path: Path) -> None:
    page_bytes = (512, 4_096, 65_536)[seed % 3]
    path = tmp_path / "test.db"
    connection = make_database(path, seed, page_bytes)
    expected_named = connection.execute("SELECT row, a, b, c, d FROM named").fetchall()
    expected_keyed = connection.execute("SELECT k, n, a, b, c, d FROM keyed").fetchall()
    log = path.with_name("test.db-wal")
    assert log.stat().st_size > 0
    images = PageImages(path, log)
    assert images.page_bytes == page_bytes
    assert images.log.commits_behind_a_break == 0
    named: set[str] = set()
    keyed: set[str] = set()
    for image in filter(images.counts, images.order()):
        cell: Cell
        for cell in cells_of(images, image):
            if cell.is_table and len(cell.types) == 5 and cell.types[0] == 0:
                named.add(plain((cell.rowid, *cell.values()[1:])))
            elif not cell.is_table and len(cell.types) == 6:
                keyed.add(plain(tuple(cell.values())))
    images.close()
    connection.close()
    assert named == set(map(plain, expected_named))
    assert keyed == set(map(plain, expected_keyed))


def test_frames_behind_a_break_do_not_count_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a)")
    for number in range(8):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    log = path.with_name("test.db-wal")
    content = bytearray(log.read_bytes())
    frames = (len(content) - 32) // (4_096 + 24)
    connection.close()
    for broken in range(frames):
        damaged = bytearray(content)
        damaged[32 + broken * (4_096 + 24) + 24 + 4_000] ^= 1
        log.write_bytes(damaged)
        images = PageImages(tmp_path / "none", log)
        images.close()
        assert len(images.log.committed) <= broken
        # Frames of later commits are each a commit of one page, or of two.
        assert (images.log.commits_behind_a_break > 0) == (broken < frames - 1)
        assert len(images.log.offsets) == frames


@pytest.mark.parametrize("size_bytes", [0, 1, 31, 32, 55, 4_000, 5_000])
def test_a_log_of_any_length_is_read_without_a_fault(size_bytes: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(random.Random(size_bytes).randbytes(size_bytes))
    images = PageImages(tmp_path / "none", log)
    assert images.log.committed == []
    assert images.page(1) is None
    images.close()


@pytest.mark.parametrize("seed", range(30))
def test_any_page_is_read_without_a_fault(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    path = tmp_path / "test.db"
    content = bytearray(generator.randbytes(4_096 * 4))
    for page in range(4):
        start = page * 4_096 + (100 if page == 0 else 0)
        content[start] = generator.choice((0x0D, 0x0A, 0x02))
        content[start + 3 : start + 5] = generator.choice((b"\0\x20", b"\xff\xff"))
        for number in range(100):
            # Small numbers look most like records.
            content[start + 8 + number] = generator.choice((0, 1, 2, 15, 200))
    path.write_bytes(content)
    images = PageImages(path, tmp_path / "none")
    for image in images.order():
        for cell in cells_of(images, image):
            assert 0 <= cell.offset < 4_096
    images.close()
