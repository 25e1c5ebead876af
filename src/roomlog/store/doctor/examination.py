"""A look at a whole store: everything that `verify` proves, and why it cannot where it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from msgspec import Struct

from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject
from roomlog.core.signing import Purpose, verify
from roomlog.core.snapshot.facts import SnapshotFacts
from roomlog.store.doctor.file_findings import file_findings, read_key
from roomlog.store.doctor.finding import Finding, Severity, damage, is_healthy, note
from roomlog.store.doctor.mending import MendedRoom, RoomMender, Stretch
from roomlog.store.doctor.page_images import PageImages
from roomlog.store.doctor.room_findings import REPAIR, room_findings
from roomlog.store.doctor.survey import Survey
from roomlog.store.doctor.untouched import Holder, holder_of, untouched
from roomlog.store.errors import StoreError, StoreNotFound, StoreTooNew
from roomlog.store.interface import NodeStore, StoredRoom
from roomlog.store.signature_check import SignatureCheck
from roomlog.store.sqlite import SqliteStore
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.connection import Connect, Connection
from roomlog.store.sqlite.directory import StoreDirectory
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.readers import Readers
from roomlog.store.verification import FaultFound, StoreFault, verify_room

FAULTS_SHOWN: Final = 5
DAMAGED_COMMITS: Final = 2
"""So many commits behind a break of the log are damage: each was on disk before the next one."""


class RoomPicture(Struct, frozen=True):
    """One room's log as it is: up to which seq, and in which stretches (`mending.Stretch`)."""

    room_id: str
    head_seq: int
    stretches: tuple[Stretch, ...]


class Examination(Struct, frozen=True):
    """What was found in the store at `path`.

    `holder` is the process that has it open. `is_newer` says that a newer release wrote to it;
    `is_lost` that nothing at all is left of its rooms.
    """

    path: str
    findings: tuple[Finding, ...]
    rooms: tuple[RoomPicture, ...]
    holder: Holder | None
    is_newer: bool = False
    is_lost: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether there is nothing but notes."""
        return is_healthy(list(self.findings))

    @property
    def needs_rebuild(self) -> bool:
        """Whether a repair would make a new database."""
        return any(
            each.is_repairable and each.severity is Severity.DAMAGE for each in self.findings
        )


@final
class _Content:
    """What the database says when it is asked the ordinary way."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.pictures: list[RoomPicture] = []
        self.faults: dict[str, StoreFault] = {}
        self.is_too_new: StoreTooNew | None = None
        self.has_rooms = True

    @property
    def is_damaged(self) -> bool:
        return bool(self.faults) or not is_healthy(self.findings)


def examine(
    path: str | Path,
    *,
    build: Build = THIS_BUILD,
    on_nodes: Callable[[int], None] = lambda _: None,
    has_lock: bool = False,
) -> Examination:
    """Look at the store in the directory `path`, beside a server or not; nothing is changed.

    `on_nodes` counts progress; `has_lock` says that the caller holds the store's lock. Raises
    `StoreNotFound`, and `StoreUnavailable` or OSError for what cannot be looked at.
    """
    directory = StoreDirectory(Path(path))
    has_log = directory.write_ahead_log.exists() and directory.write_ahead_log.stat().st_size > 0
    has_database = directory.database.exists()
    if not has_database and not has_log and not directory.key.exists():
        raise StoreNotFound(f"there is no store at {path}")
    if has_database:
        # What may not be read is no damage.
        directory.database.open("rb").close()
    holder = None if has_lock else holder_of(directory.lock_file)
    if not has_database and not has_log:
        gone = [*file_findings(directory, has_rooms=False), _database_gone(directory)]
        return Examination(str(path), tuple(gone), (), holder, is_lost=True)
    content = _Content()
    if has_database:
        with untouched(directory.database, is_in_use=holder is not None) as (place, connect):
            _look_inside(content, place.parent, connect, build, on_nodes, read_key(directory))
    else:
        meaning = f"{directory.database.name} is gone; the log of its last changes is there."
        content.findings.append(damage("database_missing", meaning, remedy=REPAIR))
    is_newer = is_lost = False
    findings = content.findings
    pictures = content.pictures
    if holder is None and (content.is_damaged or content.is_too_new is not None):
        survey = Survey(directory, build)
        try:
            is_newer = survey.is_newer
            if is_newer and content.is_too_new is not None:
                findings = [_too_new(content.is_too_new)]
            else:
                if content.is_too_new is not None:
                    findings.append(_meta_damaged(str(content.is_too_new)))
                is_lost = survey.is_empty
                pictures = _look_below(survey, content, findings)
        finally:
            survey.close()
    elif content.is_too_new is not None:
        findings = [_too_new(content.is_too_new)]
    else:
        findings += [_unexplained(fault) for fault in content.faults.values()]
    if holder is None and has_log:
        findings += _log_findings(directory)
    if is_newer:
        findings = [_left_to_the_newer(each) for each in findings]
    if is_lost:
        findings = [_nothing_left(each) for each in findings]
    around = file_findings(directory, has_rooms=content.has_rooms)
    return Examination(str(path), (*around, *findings), tuple(pictures), holder, is_newer, is_lost)


def _database_gone(directory: StoreDirectory) -> Finding:
    return damage(
        "database_missing",
        f"{directory.key.name} is there, and {directory.database.name} is not.",
        remedy="Put the database back from a backup: a server that is started makes a new, empty "
        "one. If the key was put here for a store that is yet to be made, start the server.",
        is_repairable=False,
    )


def verified_rooms(
    store: NodeStore, on_nodes: Callable[[int], None] = lambda _: None
) -> dict[str, StoreFault | None]:
    """Every room of a store, proven, with the first fault of its log. Raises `StoreError`."""
    found: dict[str, StoreFault | None] = {}
    with SignatureCheck(0) as signatures:
        for room in store.rooms():
            fault: StoreFault | None = None
            try:
                verify_room(store, room, on_signed=signatures.add, on_nodes=on_nodes)
            except FaultFound as error:
                fault = error.fault
            except StoreError as error:
                fault = StoreFault(room.room_id, 0, b"", "store_corrupt", str(error))
            invalid = signatures.finish()
            if invalid is not None:
                message = "its signature is not its author's"
                fault = StoreFault(room.room_id, *invalid, "signature_invalid", message)
            found[room.room_id] = fault
    return found


def _look_inside(  # noqa: PLR0917
    content: _Content,
    path: Path,
    connect: Connect,
    build: Build,
    on_nodes: Callable[[int], None],
    key: object,
) -> None:
    try:
        store = SqliteStore.open_read_only(path, connect=connect, build=build)
    except StoreTooNew as error:
        content.is_too_new = error
        return
    except StoreError as error:
        content.findings.append(_meta_damaged(str(error)))
        return
    readers = Readers(StoreDirectory(path), connect, beside_writer=False)
    try:
        content.findings += readers.run(_structure_findings)
        content.findings += readers.run(_orphan_findings)
        rooms = {room.room_id: room for room in store.rooms()}
        content.has_rooms = bool(rooms)
        for room_id, fault in verified_rooms(store, on_nodes).items():
            if fault is not None:
                content.faults[room_id] = fault
                continue
            head_seq = rooms[room_id].head_seq
            kept = (Stretch(1, head_seq, "kept"),) if head_seq else ()
            content.pictures.append(RoomPicture(room_id, head_seq, kept))
            content.findings += _key_findings(
                store, rooms[room_id], getattr(key, "public_key", b"")
            )
        if store.identity.schema_version < build.schema_version:
            meaning = "The store was made by an older release; migrations are pending."
            content.findings.append(note("migrations_pending", meaning, "roomlog migrate up"))
    except StoreError as error:
        content.findings.append(_pages_damaged(str(error)))
    finally:
        readers.close()
        store.close()


def _structure_findings(connection: Connection) -> list[Finding]:
    """What SQLite says of its own structures."""
    rows = connection.execute("PRAGMA integrity_check(100)").fetchall()
    faults = [str(row[0]) for row in rows if row[0] != "ok"]
    if not faults:
        return []
    of_index = [each for each in faults if "index" in each]
    if len(of_index) == len(faults):
        return [
            damage(
                "index_damaged",
                "An index does not agree with its table: " + "; ".join(faults[:FAULTS_SHOWN]) + ".",
                remedy=REPAIR,
            )
        ]
    return [_pages_damaged("; ".join(faults[:FAULTS_SHOWN]))]


def _orphan_findings(connection: Connection) -> list[Finding]:
    """Rows that belong to nothing: no room is wrong for them, but something was lost."""
    counted = {
        "packs of no room": "SELECT count(*) FROM log WHERE room NOT IN (SELECT room FROM room)",
        "packs beyond the head of their room": (
            "SELECT count(*) FROM room JOIN log ON log.room = room.room "
            "AND log.from_seq > room.head_seq"
        ),
        "admission records without their pack": (
            "SELECT count(*) FROM admission AS a LEFT JOIN log ON log.room = a.room "
            "AND log.from_seq = a.from_seq AND log.admission = a.admission "
            "WHERE log.room IS NULL"
        ),
    }
    found = {what: int(connection.execute(query).fetchone()[0]) for what, query in counted.items()}
    if not any(found.values()):
        return []
    listed = ", ".join(f"{count} {what}" for what, count in found.items() if count)
    return [
        damage("orphaned_rows", f"There are rows that belong to nothing: {listed}.", remedy=REPAIR)
    ]


def _key_findings(store: NodeStore, room: StoredRoom, public_key: bytes) -> list[Finding]:
    """Whether the key is the one that signed the room's snapshots."""
    for snapshot in store.newest_snapshots(room.room_id) if public_key else ():
        with contextlib.suppress(Reject):
            heads = decode_pack(snapshot.frontier, NodeHasher(room.lineage))
            facts = SnapshotFacts(
                room.lineage,
                snapshot.seq,
                [node.id for node in heads],
                snapshot.state_hash,
                snapshot.digest,
            )
            if not verify(public_key, Purpose.SNAPSHOT, facts.payload(), snapshot.signature):
                return [
                    damage(
                        "key_foreign",
                        "server.key is not the key that signed the snapshots of this store: it "
                        "belongs to another server, or to this one from before.",
                        room=room.room_id,
                        remedy="Put back the key that belongs to this store: its clients trust no "
                        "other one.",
                        is_repairable=False,
                    )
                ]
    return []


def _look_below(survey: Survey, content: _Content, findings: list[Finding]) -> list[RoomPicture]:
    """What a repair would make of the rooms; says so, and gives the picture of each."""
    pictures: list[RoomPicture] = []
    explained: set[str] = set()
    for number in survey.room_numbers():
        mended = RoomMender(survey, number).mend()
        of_room = room_findings(mended)
        findings += of_room
        if of_room:
            explained.add(mended.room_id)
        pictures.append(_picture(mended))
    unexplained = [each for room, each in content.faults.items() if room not in explained]
    findings += [_recoverable(fault) for fault in unexplained]
    return pictures


def _picture(mended: MendedRoom) -> RoomPicture:
    name = mended.room_id or f"(room {mended.number})"
    return RoomPicture(name, mended.old_head_seq, mended.stretches)


def _log_findings(directory: StoreDirectory) -> list[Finding]:
    images = PageImages(directory.database, directory.write_ahead_log)
    images.close()
    commits = images.log.commits_behind_a_break
    if commits >= DAMAGED_COMMITS:
        return [
            damage(
                "write_ahead_log_damaged",
                f"The write-ahead log is not what was written; {commits} commits lie behind the "
                "first fault, and SQLite will not read them.",
                lost="What these commits wrote, as far as the database does not have it.",
                remedy=REPAIR,
            )
        ]
    if commits:
        return [
            note(
                "write_ahead_log_torn",
                "The last commit in the write-ahead log is not whole. That is what a loss of power "
                "leaves of a commit that was never acknowledged.",
            )
        ]
    return []


def _too_new(error: StoreTooNew) -> Finding:
    return damage(
        "store_too_new",
        f"The store needs code of schema version {error.compat_version}; this build knows "
        f"{error.schema_version}.",
        remedy=f"Use roomlog {error.release} or newer, its doctor too.",
        is_repairable=False,
    )


def _meta_damaged(detail: str) -> Finding:
    return damage("database_unreadable", f"The database cannot be opened: {detail}.", remedy=REPAIR)


def _pages_damaged(detail: str) -> Finding:
    return damage("pages_damaged", f"SQLite finds its file damaged: {detail}.", remedy=REPAIR)


def _unexplained(fault: StoreFault) -> Finding:
    where = f" at seq {fault.seq}" if fault.seq else ""
    return damage(
        "room_unprovable",
        f"The room cannot be proven{where}: {fault.message} ({fault.fault_class}).",
        room=fault.room_id,
        remedy=f"{REPAIR}. A look while no server runs says more.",
    )


def _recoverable(fault: StoreFault) -> Finding:
    where = f" at seq {fault.seq}" if fault.seq else ""
    return damage(
        "log_recoverable",
        f"What SQLite reads of the room cannot be proven{where}: {fault.message} "
        f"({fault.fault_class}). Below SQLite all of its log was made out.",
        room=fault.room_id,
        remedy=f"A repair writes it anew. {REPAIR}",
    )


def _left_to_the_newer(finding: Finding) -> Finding:
    """This build does not know what a newer release may have written, so it mends nothing of it."""
    if not finding.is_repairable or finding.severity is not Severity.DAMAGE:
        return finding
    return damage(
        finding.code,
        finding.meaning,
        lost=finding.lost,
        remedy="What says which release wrote the store names a newer one: use the doctor of that "
        "release, or put a backup back.",
        room=finding.room,
        is_repairable=False,
    )


def _nothing_left(finding: Finding) -> Finding:
    if finding.severity is Severity.NOTE:
        return finding
    return damage(
        finding.code,
        finding.meaning,
        lost="Everything: no row of any room can be made out.",
        remedy="Put a backup back, or found the rooms again from local stores of clients: roomlog "
        "room refound",
        is_repairable=False,
    )
