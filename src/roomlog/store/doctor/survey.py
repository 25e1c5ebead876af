"""Everything that can be made out in the files of a store, below SQLite: rows and their places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from msgspec import Struct, structs

from roomlog.store.doctor import found_rows
from roomlog.store.doctor.found_rows import (
    META_KINDS,
    AdmissionRow,
    PackRow,
    RoomRow,
    SnapshotRow,
    Values,
    WindowRow,
)
from roomlog.store.doctor.page_images import PageImages
from roomlog.store.doctor.records import Cell, Unreadable, cell_at, cells_of
from roomlog.store.interface import NODE_ID_BYTES
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.directory import StoreDirectory
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.store import SNAPSHOTS_SINCE

RowKey = tuple[int, int]
"""A room's number and a seq."""
MOST_SEQ: Final = (1 << 62) - 1


class PackPlace(Struct, frozen=True, gc=False):
    """Where a row of the log lies, and the seqs it is for.

    `is_corrected` says that these are not the ones that are written in it.
    """

    from_seq: int
    to_seq: int
    admission: int
    is_intact: bool
    is_corrected: bool
    is_latest: bool
    image: int
    offset: int


@final
class Survey:
    """The rows of a store, each kind by room; nothing is believed that its checksum denies.

    Rows of the log and chunks of snapshots stay where they are, and are read when asked for.
    """

    def __init__(self, directory: StoreDirectory, build: Build = THIS_BUILD) -> None:
        """Reads all files. `build` tells known migrations from others. Raises OSError."""
        self._build = build
        self.applied: set[int] = set()
        """Versions of the migrations that the store has had, as far as that is left."""
        self.images = PageImages(directory.database, directory.write_ahead_log)
        self.meta: dict[str, int | str | bytes] = {}
        self.rooms: dict[int, RoomRow] = {}
        self.names: dict[int, str] = {}
        """Names of rooms by number, as the index has them."""
        self.admissions: dict[int, dict[int, AdmissionRow]] = {}
        """By room and first seq."""
        self.windows: dict[int, list[WindowRow]] = {}
        self.snapshots: dict[int, list[SnapshotRow]] = {}
        self.last_admission = 0
        self._room_rows: dict[str, RoomRow] = {}
        self._admission_keys: dict[int, tuple[int, int, int]] = {}
        self._packs: dict[int, dict[int, PackPlace]] = {}
        self._chunks: dict[RowKey, dict[int, tuple[int, int]]] = {}
        later: list[tuple[int, int, str]] = []
        for image in self.images.order():
            for cell in cells_of(self.images, image):
                table = found_rows.table_of(cell.is_table, cell.types)
                if table in (found_rows.LOG, found_rows.CHUNK):
                    later.append((image, cell.offset, table))
                elif table is not None:
                    values = _values(cell)
                    if values is not None:
                        self._take(table, cell, values)
        # Packs are placed with the help of the admission records: these have to be known first.
        for image, offset, table in later:
            cell = cell_at(self.images, image, offset)
            values = _values(cell)
            if values is not None and self._take_large(table, cell, values):
                continue
            # What is behind a fault of the log was never read together with what counts.
            values = _values(cell, of_latest=True)
            if values is not None and self.images.log.offsets:
                self._take_large(table, cell, values, of_latest=True)
        self._number_rooms()
        for windows in self.windows.values():
            windows.sort(key=lambda row: row.number)
        for snapshots in self.snapshots.values():
            snapshots.sort(key=lambda row: -row.number)

    def close(self) -> None:
        """Give the files back."""
        self.images.close()

    @property
    def schema_version(self) -> int:
        """The newest migration that the store has had; this build's when nothing tells."""
        witnesses = set(self.applied)
        written = self.meta.get("schema_version")
        if isinstance(written, int) and 1 <= written <= self._build.schema_version:
            witnesses.add(written)
        if self.snapshots or self.windows or self._chunks:
            witnesses.add(SNAPSHOTS_SINCE)
        return max(witnesses, default=self._build.schema_version)

    @property
    def is_newer(self) -> bool:
        """Whether a newer build has migrated it: this one does not know all that is in it."""
        return self.schema_version > self._build.schema_version

    @property
    def is_empty(self) -> bool:
        """Whether nothing of any room was found."""
        return not (self.rooms or self._packs or self.names)

    def room_numbers(self) -> list[int]:
        """Of every room of which there is something."""
        return sorted({*self.rooms, *self.names, *self._packs, *self.admissions})

    def packs(self, room: int) -> list[PackPlace]:
        """The rows of a room's log, ascending by seq."""
        places = self._packs.get(room, {})
        return [places[seq] for seq in sorted(places)]

    def read_pack(self, place: PackPlace) -> PackRow | None:
        """The row at a place; None when it cannot be read after all."""
        cell = cell_at(self.images, place.image, place.offset)
        values = _values(cell, of_latest=place.is_latest)
        return None if values is None else found_rows.as_pack(values)

    def name_of(self, number: int) -> str:
        """A room's id; a made-up name, which no room can have, when nothing tells."""
        row = self.rooms.get(number)
        if row is not None:
            return row.room_id
        name = self.names.get(number, "")
        is_taken = name in self._room_rows
        return f"(room {number})" if is_taken or not name else name

    def lineage_of(self, room: int) -> bytes:
        """The lineage of a room, from its row or its admission records; empty if nothing tells."""
        row = self.rooms.get(room)
        if row is not None:
            return row.lineage
        return next((each.lineage for each in self.admissions.get(room, {}).values()), b"")

    def chunks(self, room: int, seq: int) -> Iterator[tuple[int, bytes]]:
        """Number and data of the chunks of a snapshot, ascending."""
        for number, (image, offset) in sorted(self._chunks.get((room, seq), {}).items()):
            values = _values(cell_at(self.images, image, offset))
            chunk = None if values is None else found_rows.as_chunk(values)
            if chunk is not None:
                yield number, chunk[3]

    def _take(self, table: str, cell: Cell, values: Values) -> None:
        if table == found_rows.ROOM:
            room = found_rows.as_room(cell.rowid, values)
            if room is not None:
                known = self._room_rows.get(room.room_id)
                # Of several versions of a row the first is one that counts; its log only grows.
                counts = self.images.counts(cell.image)
                if known is None or (counts and room.head_seq > known.head_seq):
                    self._room_rows[room.room_id] = room
        elif table == found_rows.ADMISSION:
            admission = found_rows.as_admission(cell.rowid, values)
            if admission is not None:
                of_room = self.admissions.setdefault(admission.room, {})
                of_room.setdefault(admission.from_seq, admission)
                key = (admission.room, admission.from_seq, admission.to_seq)
                self._admission_keys.setdefault(admission.number, key)
                self.last_admission = max(self.last_admission, admission.number)
        elif table == found_rows.WINDOW:
            window = found_rows.as_window(cell.rowid, values)
            if window is not None:
                windows = self.windows.setdefault(window.room, [])
                if all(window.number != each.number for each in windows):
                    windows.append(window)
        elif table == found_rows.SNAPSHOT:
            snapshot = found_rows.as_snapshot(cell.rowid, values)
            if snapshot is not None and self.images.counts(cell.image):
                self.snapshots.setdefault(snapshot.room, []).append(snapshot)
        elif table == found_rows.MIGRATION:
            if found_rows.is_migration(cell.rowid, values, self._build.migrations):
                self.applied.add(cell.rowid)
        else:
            self._take_named(values)

    def _number_rooms(self) -> None:
        """Give each room its number: no checksum covers the one in its row.

        Admission records name a room's number and lineage together, under their checksum; the index
        of names is the second witness.
        """
        of_lineage = {
            each.lineage: number
            for number, records in self.admissions.items()
            for each in records.values()
        }
        of_name = {name: number for number, name in self.names.items()}
        for room in self._room_rows.values():
            number = of_lineage.get(room.lineage, of_name.get(room.room_id, room.number))
            if number not in self.rooms:
                self.rooms[number] = structs.replace(room, number=number)

    def _take_named(self, values: Values) -> None:
        """A row of `store_meta`, or one of the index of rooms' names."""
        name, value = values
        kind = META_KINDS.get(name)
        if kind is not None and isinstance(value, kind):
            self.meta.setdefault(name, value)
        elif isinstance(value, int) and value > 0 and name and name.isascii():
            self.names.setdefault(value, name)

    def _take_large(
        self, table: str, cell: Cell, values: Values, *, of_latest: bool = False
    ) -> bool:
        """A row of the log or a chunk; whether it is right."""
        if table == found_rows.CHUNK:
            chunk = found_rows.as_chunk(values)
            if chunk is not None:
                room, seq, number, _ = chunk
                places = self._chunks.setdefault((room, seq), {})
                places.setdefault(number, (cell.image, cell.offset))
            return chunk is not None
        row = found_rows.as_pack(values)
        if row is None:
            return False
        room, from_seq, to_seq = self._key_of(row)
        if not 1 <= from_seq <= to_seq <= MOST_SEQ:
            return False
        known = self._packs.setdefault(room, {}).get(from_seq)
        if known is None or (row.is_intact and not known.is_intact):
            is_corrected = (room, from_seq, to_seq) != (row.room, row.from_seq, row.to_seq)
            self._packs[room][from_seq] = PackPlace(
                from_seq,
                to_seq,
                row.admission,
                row.is_intact,
                is_corrected,
                of_latest,
                cell.image,
                cell.offset,
            )
        return row.is_intact

    def _key_of(self, row: PackRow) -> tuple[int, int, int]:
        """Room and seqs of a row: its checksums do not cover them, those of its admission do."""
        if not row.is_intact:
            return row.room, row.from_seq, row.to_seq
        count = len(row.ids) // NODE_ID_BYTES
        own = (row.room, row.from_seq, row.from_seq + count - 1)
        known = self.admissions.get(row.room, {}).get(row.from_seq)
        if known is not None and known.to_seq == own[2]:
            return own
        named = self._admission_keys.get(row.admission)
        return named if named is not None and named[2] - named[1] + 1 == count else own


def _values(cell: Cell, *, of_latest: bool = False) -> Values | None:
    try:
        return cell.values(of_latest=of_latest)
    except Unreadable:
        return None
