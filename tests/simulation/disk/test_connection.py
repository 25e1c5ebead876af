"""The connections of the simulated disk beside those of the standard library."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.disk import Call, SimulatedDisk

BOTH = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SimulatedDisk]:
    disk = SimulatedDisk(tmp_path / "simulated", random.Random(1))
    yield disk
    disk.close()


@pytest.fixture
def pair(tmp_path: Path, disk: SimulatedDisk) -> Iterator[tuple[Any, Any]]:
    """A connection of the standard library and one of ours, each to an empty database."""
    standard = sqlite3.connect(tmp_path / "standard.db", isolation_level=None)
    ours = disk.connect_local(disk.root / "ours.db", read_only=False)
    yield standard, ours
    standard.close()
    ours.close()


def outcome(run: Callable[[], Any]) -> Any:
    """What a call gives, or the class of what it raises and SQLite's code for it."""
    try:
        return run()
    except Exception as error:
        # The standard library has no name for codes younger than its list.
        name = getattr(error, "sqlite_errorname", None)
        code = getattr(error, "sqlite_errorcode", None)
        return type(error), code, None if code == apsw.SQLITE_CONSTRAINT_DATATYPE else name


def run(connection: Any, sql: str, parameters: Any = ()) -> Any:
    cursor = connection.execute(sql, parameters)
    return cursor.fetchall(), cursor.rowcount, connection.in_transaction


SCHEMA = (
    "CREATE TABLE item (item INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB, "
    "size INTEGER CHECK (size < 100)) STRICT",
    "CREATE TABLE part (part INTEGER NOT NULL, item INTEGER REFERENCES item, PRIMARY KEY (part)) "
    "WITHOUT ROWID",
    "CREATE TABLE loose (value)",
    "PRAGMA foreign_keys = ON",
)
STATEMENTS: list[tuple[str, Any]] = [
    ("SELECT 1, 'two', x'03', 4.5, NULL", ()),
    ("INSERT INTO item VALUES (1, 'a', x'00', 1)", ()),
    ("INSERT INTO item VALUES (?, ?, ?, ?)", (2, "b", b"bytes", 2)),
    ("INSERT INTO item VALUES (?1, ?1 || 'c', ?2, NULL)", (3, bytearray(b"array"))),
    ("INSERT INTO item (name, data) VALUES (?, ?)", ("nul\0inside", memoryview(b"view"))),
    ("INSERT INTO item VALUES (1, 'again', NULL, NULL)", ()),
    ("INSERT INTO item VALUES (9, 'a', NULL, NULL)", ()),
    ("INSERT INTO item VALUES (9, 'z', NULL, 100)", ()),
    ("INSERT INTO item VALUES (9, 'z', 'text', 1)", ()),
    ("INSERT INTO item VALUES ('text', 'z', NULL, 1)", ()),
    ("INSERT INTO part VALUES (1, 77)", ()),
    ("INSERT INTO part VALUES (NULL, 1)", ()),
    ("INSERT INTO part VALUES (1, 1)", ()),
    ("DELETE FROM item WHERE item = 1", ()),
    ("UPDATE item SET size = size + 1", ()),
    ("UPDATE item SET size = 5 WHERE item = 12345", ()),
    ("DELETE FROM part", ()),
    ("REPLACE INTO item VALUES (2, 'b2', NULL, 3)", ()),
    ("INSERT INTO loose VALUES (?)", (True,)),
    ("INSERT INTO loose VALUES (?)", ((1 << 63) - 1,)),
    ("INSERT INTO loose VALUES (?)", (1 << 63,)),
    ("INSERT INTO loose VALUES (?)", (-(1 << 63) - 1,)),
    ("INSERT INTO loose VALUES (?)", ("\ud800",)),
    ("INSERT INTO loose VALUES (?)", (object(),)),
    ("INSERT INTO loose VALUES (?)", ([1],)),
    ("INSERT INTO loose VALUES (?)", ()),
    ("INSERT INTO loose VALUES (?)", (1, 2)),
    ("INSERT INTO loose VALUES (?)", (b"",)),
    ("INSERT INTO loose VALUES (?)", (float("nan"),)),
    ("SELECT value, typeof(value) FROM loose ORDER BY rowid", ()),
    ("SELECT CAST(x'ff41' AS TEXT)", ()),
    ("SELECT zeroblob(2000000000)", ()),
    ("SELECT abs(-9223372036854775807 - 1)", ()),
    ("SELECT * FROM nowhere", ()),
    ("SELEC 1", ()),
    ("", ()),
    ("-- nothing", ()),
    ("PRAGMA journal_mode = WAL", ()),
    ("PRAGMA wal_autocheckpoint = 77", ()),
    ("PRAGMA synchronous = FULL", ()),
    ("PRAGMA busy_timeout = 5", ()),
    ("PRAGMA wal_checkpoint(TRUNCATE)", ()),
    ("PRAGMA integrity_check", ()),
    ("BEGIN IMMEDIATE", ()),
    ("BEGIN", ()),
    ("SAVEPOINT inside", ()),
    ("INSERT INTO loose VALUES ('unsaved')", ()),
    ("ROLLBACK TO inside", ()),
    ("RELEASE inside", ()),
    ("COMMIT", ()),
    ("COMMIT", ()),
    ("ROLLBACK", ()),
    ("SELECT item, name, data, size FROM item ORDER BY item", ()),
    ("PRAGMA query_only = ON", ()),
    ("INSERT INTO loose VALUES (1)", ()),
    ("PRAGMA query_only = OFF", ()),
]


def cannot_be_bound(parameters: Any) -> bool:
    """Values for which CPython 3.11 may raise again what the statement before raised."""
    return any(
        value == "\ud800"
        or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63)
        or not isinstance(value, int | float | str | bytes | bytearray | memoryview)
        for value in parameters
    )


def test_the_same_statements_give_the_same_rows_counts_and_errors(pair: tuple[Any, Any]) -> None:
    for sql, parameters in [*((each, ()) for each in SCHEMA), *STATEMENTS]:
        expected, found = (
            outcome(lambda connection=each: run(connection, sql, parameters))  # type: ignore[misc]  # noqa: B023
            for each in pair
        )
        assert found == expected, sql


@BOTH
@given(
    st.lists(
        st.sampled_from([each for each in STATEMENTS if not cannot_be_bound(each[1])]), max_size=30
    )
)
def test_any_order_of_the_statements_gives_the_same(
    tmp_path: Path, plan: list[tuple[str, Any]]
) -> None:
    disk = SimulatedDisk(tmp_path / "simulated", random.Random(1))
    (tmp_path / "standard.db").unlink(missing_ok=True)
    (disk.root / "ours.db").unlink(missing_ok=True)
    standard = sqlite3.connect(tmp_path / "standard.db", isolation_level=None)
    ours = disk.connect_local(disk.root / "ours.db", read_only=False)
    try:
        for sql, parameters in [*((each, ()) for each in SCHEMA), *plan]:
            expected = outcome(lambda: run(standard, sql, parameters))  # noqa: B023
            found = outcome(lambda: run(ours, sql, parameters))  # noqa: B023
            assert found == expected, sql
    finally:
        standard.close()
        ours.close()
        disk.close()


@BOTH
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(1 << 65), 1 << 65),
            st.floats(),
            st.text(st.characters(), max_size=5),
            st.binary(max_size=5),
        ),
        max_size=5,
    )
)
def test_any_value_comes_back_as_the_standard_library_gives_it(
    pair: tuple[Any, Any], values: list[Any]
) -> None:
    standard, ours = pair
    query = f"SELECT {', '.join(['?, typeof(?)'] * len(values)) or 1}"
    doubled = [value for value in values for _ in range(2)]
    expected = outcome(lambda: repr(run(standard, query, doubled)))
    assert outcome(lambda: repr(run(ours, query, doubled))) == expected


def test_rows_can_be_taken_one_by_one_some_at_once_and_in_a_loop(pair: tuple[Any, Any]) -> None:
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) SELECT i FROM n"
    )
    results = []
    for connection in pair:
        cursor = connection.execute(query)
        taken = [cursor.fetchone(), cursor.fetchmany(3), list(cursor), cursor.fetchone()]
        results.append([*taken, cursor.fetchall(), dict(connection.execute("SELECT 1, 2"))])
        cursor.close()
    assert results[0] == results[1]


def test_many_rows_are_written_and_counted(pair: tuple[Any, Any]) -> None:
    results = []
    for connection in pair:
        connection.execute("CREATE TABLE t (a UNIQUE, b)")
        good = connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, 2), (3, 4), (5, 6)])
        bad = outcome(lambda: connection.executemany("INSERT INTO t VALUES (?, 0)", [(7,), (1,)]))  # noqa: B023
        results.append((good.rowcount, bad, connection.execute("SELECT * FROM t").fetchall()))
    assert results[0] == results[1]


def test_a_closed_connection_says_so_and_can_be_closed_again(pair: tuple[Any, Any]) -> None:
    results = []
    for connection in pair:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("BEGIN")
        connection.close()
        connection.close()
        results.append(outcome(lambda: connection.execute("SELECT 1")))  # noqa: B023
    assert results[0] == results[1]


def openings(directory: Path, connect: Callable[..., Any]) -> list[Any]:
    """What opening and reading files of all kinds gives, for the server's factory."""
    directory.mkdir(exist_ok=True)
    (directory / "garbage").write_bytes(b"no database " * 1_000)
    (directory / "empty").write_bytes(b"")
    (directory / "folder").mkdir(exist_ok=True)
    results = []
    for name in ("garbage", "empty", "missing", "folder"):
        for arguments in (
            {"read_only": True},
            {"read_only": True, "is_quiet": True},
            {"read_only": False},
        ):

            def look(name: str = name, arguments: Any = arguments) -> Any:
                connection = connect(directory / name, **arguments)
                try:
                    rows = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
                    return rows, outcome(lambda: run(connection, "CREATE TABLE t (a)"))
                finally:
                    connection.close()

            results.append((name, arguments, outcome(look)))
    return results


def test_opening_anything_gives_the_same_answer(tmp_path: Path, disk: SimulatedDisk) -> None:
    from roomlog.store.sqlite.connection import connect_sqlite

    assert openings(disk.root, disk.connect) == openings(tmp_path / "standard", connect_sqlite)


def test_two_connections_get_in_each_others_way_as_they_would(
    tmp_path: Path, disk: SimulatedDisk
) -> None:
    results = []
    first_standard, second_standard = (
        sqlite3.connect(tmp_path / "standard.db", isolation_level=None, timeout=0) for _ in "ab"
    )
    first, second = (disk.connect_local(disk.root / "ours.db", read_only=False) for _ in "ab")
    for writer, other in ((first_standard, second_standard), (first, second)):
        steps: list[Any] = []
        for connection, sql in (
            (writer, "PRAGMA journal_mode = WAL"),
            (writer, "CREATE TABLE t (a)"),
            (other, "BEGIN"),
            (other, "SELECT * FROM t"),
            (writer, "BEGIN IMMEDIATE"),
            (writer, "INSERT INTO t VALUES (1)"),
            (other, "SELECT * FROM t"),
            (writer, "COMMIT"),
            (other, "SELECT * FROM t"),
            (other, "INSERT INTO t VALUES (2)"),
            (writer, "PRAGMA wal_checkpoint(TRUNCATE)"),
            (other, "COMMIT"),
            (other, "SELECT * FROM t"),
            (writer, "BEGIN IMMEDIATE"),
            (other, "BEGIN IMMEDIATE"),
            (writer, "ROLLBACK"),
        ):
            steps.append(outcome(lambda: run(connection, sql)))  # noqa: B023
        results.append(steps)
        writer.close()
        other.close()
    assert results[0] == results[1]


def test_a_checkpoint_that_fails_behind_a_commit_is_not_told(disk: SimulatedDisk) -> None:
    connection = disk.connect_local(disk.root / "a.db", read_only=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA wal_autocheckpoint = 1")
    for call in (Call.SYNC, Call.WRITE, Call.TRUNCATE):
        for number in range(1, 12):
            disk.fail_call(number, call)
            before = connection.execute("SELECT count(*) FROM t").fetchone()[0]
            told = outcome(lambda: connection.execute("INSERT INTO t VALUES (1)").rowcount)
            disk.faults.clear()
            after = connection.execute("SELECT count(*) FROM t").fetchone()[0]
            assert (after == before + 1) == (told == 1), (call, number, told)
    assert disk.met["sync error"] > 1
    assert disk.met["write error"] > 1
    connection.close()
