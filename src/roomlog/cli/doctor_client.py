"""`roomlog doctor --client`: the same for the local store of a client."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import typer

from roomlog.cli.doctor import default_backup, finding_values, print_findings
from roomlog.cli.failure import FAILED, Failure, UsageFailure
from roomlog.cli.local_salvage import LocalSalvage, packs_of
from roomlog.cli.output import counted, line, print_json
from roomlog.client.errors import LocalStoreError, LocalStoreTooNewError
from roomlog.client.local_schema import check_versions
from roomlog.client.stored_document import StoredDocument, read_document
from roomlog.core.node import CHANGE, check_node, check_signature
from roomlog.core.reject import Reject
from roomlog.file_lock import take_lock
from roomlog.store.doctor.finding import Finding, damage
from roomlog.store.doctor.saved_packs import SavedPacks
from roomlog.store.doctor.swapping import copy_files, put_in_place, remove, require_space
from roomlog.store.doctor.untouched import JOURNAL_SUFFIX, WAL_SUFFIX, beside, holder_of, untouched
from roomlog.store.errors import StoreError

LOCK_SUFFIX: Final = ".lock"
WORK_SUFFIX: Final = ".doctor"
SAVED_NAME: Final = "saved"
REPAIR: Final = "Close the application and run: roomlog doctor --repair --client FILE"


def doctor_client(path: Path, *, do_repair: bool, backup: Path | None, as_json: bool) -> None:
    """Look at the local store at `path`, or repair it. Exits as `doctor` does."""
    if not path.is_file():
        raise UsageFailure(f"--client: there is no file {path}")
    findings = _findings(path)
    done: list[str] = []
    saved: list[Path] = []
    if do_repair and any(each.is_repairable for each in findings):
        backup = default_backup(path) if backup is None else backup
        with _locked(path):
            findings = _findings(path)
            done, saved = _repair(path, backup)
            findings = _findings(path)
    if as_json:
        values: dict[str, Any] = {
            "client": str(path),
            "healthy": not findings,
            "findings": finding_values(findings),
        }
        if do_repair:
            values["repair"] = {"done": done, "saved": [str(each) for each in saved]}
        print_json(values)
    else:
        for sentence in done:
            line(sentence)
        print_findings(findings)
        if not findings:
            line("healthy: every node in it is what was written")
    if findings:
        raise typer.Exit(FAILED)


def _findings(path: Path) -> list[Finding]:
    """What is wrong with it; nothing is changed. Raises `UsageFailure`."""
    try:
        path.open("rb").close()
        is_in_use = holder_of(beside(path, LOCK_SUFFIX)) is not None
        with untouched(path, is_in_use=is_in_use) as (place, connect):
            try:
                with contextlib.closing(connect(place, read_only=True)) as connection:
                    faults = connection.execute("PRAGMA integrity_check(20)").fetchall()
                    if [tuple(each) for each in faults] != [("ok",)]:
                        return [_damaged(path, "; ".join(str(each[0]) for each in faults[:5]))]
                    version = check_versions(connection, str(path))  # type: ignore[arg-type]
                    document = read_document(connection, str(path), version)  # type: ignore[arg-type]
            except LocalStoreTooNewError as error:
                remedy = "Use the release that wrote it, or a newer one."
                return [damage("store_too_new", f"{error}.", remedy=remedy, is_repairable=False)]
            except (
                sqlite3.Error, LocalStoreError, msgspec.MsgspecError, TypeError, ValueError
            ) as error:  # fmt: skip
                return [_damaged(path, str(error))]
    except (StoreError, OSError) as error:
        raise UsageFailure(f"--client: it cannot be looked at: {error}") from error
    fault = _fault_of(document)
    return [] if fault is None else [_damaged(path, fault)]


def _fault_of(document: StoredDocument) -> str | None:
    """The first node that is not what its author wrote, or stands on nothing."""
    known: set[bytes] = set()
    if document.snapshot is not None:
        # What lies below it is not here; the snapshot has its own digest.
        known.update(parent for node in document.nodes for parent in node.parents)
    is_partial = bool(document.patterns) or document.patterns_before is not None
    for node in document.nodes:
        try:
            check_node(node, is_partial and node.kind == CHANGE)
            if node.signature is not None:
                check_signature(node)
        except Reject as reject:
            return f"node {node.id.hex()}: {reject.message} ({reject.reject_class.wire})"
        if not known.issuperset(node.parents):
            return f"node {node.id.hex()} builds on one that is not there"
        known.add(node.id)
    return None


def _damaged(path: Path, detail: str) -> Finding:
    salvage = LocalSalvage(path)
    if not salvage.is_named:
        return damage(
            "local_store_damaged",
            f"The local store is damaged: {detail}. Its room and lineage cannot be made out.",
            lost="What was not sent yet, unless another client has it.",
            remedy="Start with a new file; the server has everything it acknowledged. A repair "
            f"keeps the packs that are left as a pack file. {REPAIR}",
            is_repairable=bool(salvage.packs),
        )
    unsent = set(salvage.unsent)
    stranded = sum(node.id in unsent for node in salvage.aside)
    return damage(
        "local_store_damaged",
        f"The local store is damaged: {detail}. {len(salvage.kept)} nodes can stay, "
        f"{len(unsent) - stranded} of them unsent; {len(salvage.aside)} stand on nodes that are "
        f"gone, {stranded} of them unsent.",
        lost="What is neither: the server sends what it has of it.",
        remedy=f"A repair keeps the first and puts the others into a pack file. {REPAIR}",
        room=salvage.meta["room_id"],
    )


def _repair(path: Path, backup: Path) -> tuple[list[str], list[Path]]:
    if backup.exists():
        raise Failure(f"--backup: {backup} is there already")
    candidates = (path, beside(path, WAL_SUFFIX), beside(path, JOURNAL_SUFFIX))
    files = [each for each in candidates if each.exists()]
    require_space(files, path, backup)
    salvage = LocalSalvage(path)
    copy_files(files, backup)
    done = [f"copied the store to {backup}"]
    packs = SavedPacks(backup / SAVED_NAME)
    if not salvage.is_named:
        for pack in salvage.packs:
            packs.add("unknown-room", b"", pack)
        saved = packs.close()
        done.append(f"put {counted(len(salvage.packs), 'pack')} into {saved[0]}; the store stays")
        return done, saved
    for pack in packs_of(salvage.aside):
        packs.add(salvage.meta["room_id"], salvage.meta["lineage"], pack)
    saved = packs.close()
    work = beside(path, WORK_SUFFIX)
    remove(work)
    work.mkdir(mode=0o700)
    try:
        made = work / path.name
        salvage.write_to(made)
        left = _findings(made)
        if left:
            raise Failure(f"what is left of it cannot be mended: {left[0].meaning}")
        put_in_place(made, path)
    finally:
        remove(work)
    unsent = set(salvage.unsent)
    done.append(
        f"made a new store of {counted(len(salvage.kept), 'node')}, "
        f"{sum(node.id in unsent for node in salvage.kept)} of them unsent; what is missing comes "
        "from the server"
    )
    if saved:
        done.append(f"put {counted(len(salvage.aside), 'node')} into {saved[0]}")
    return done, saved


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The lock that keeps a second process out of a local store."""
    descriptor = os.open(beside(path, LOCK_SUFFIX), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not take_lock(descriptor):
            raise Failure(f"--client: an application has {path} open; close it first")
        yield
    finally:
        os.close(descriptor)
