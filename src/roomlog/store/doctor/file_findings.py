"""What can be wrong with the files around a database: key, leftovers, permissions, space."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from roomlog.core.errors import IdentityFileError
from roomlog.identity import Identity
from roomlog.store.doctor.finding import Finding, damage, warning
from roomlog.store.doctor.page_images import PageImages
from roomlog.store.sqlite.directory import StoreDirectory

WORK_NAME: Final = "doctor.work"
"""Where a repair builds the new database, inside the store's directory."""
READY_NAME: Final = "ready"
"""In there: the database is whole and proven, and the digest of the one it is to replace."""
LEAST_FREE_BYTES: Final = 32 << 20


def unfinished_repair(directory: StoreDirectory) -> StoreDirectory | None:
    """A database that was proven and never took its place, if the old one is still the same."""
    work = StoreDirectory(directory.path / WORK_NAME)
    try:
        written = (work.path / READY_NAME).read_text()
    except (OSError, UnicodeDecodeError):
        return None
    images = PageImages(directory.database, directory.write_ahead_log)
    try:
        is_same = written == f"{images.digest().hex()}\n"
    finally:
        images.close()
    return work if is_same and work.database.exists() else None


def leftovers_of(directory: StoreDirectory) -> list[Path]:
    """Files of creations and repairs that were interrupted: nobody will ever read them."""
    unfinished = directory.unfinished_database
    candidates = (
        unfinished,
        unfinished.with_name(f"{unfinished.name}-journal"),
        directory.path / WORK_NAME,
    )
    return [path for path in candidates if path.exists()]


def read_key(directory: StoreDirectory) -> Identity | None:
    """The server's key pair, None when it is missing or damaged."""
    try:
        return Identity.load(directory.key)
    except (OSError, IdentityFileError):
        return None


def file_findings(directory: StoreDirectory, *, has_rooms: bool) -> list[Finding]:
    """What is wrong with the files of a store, but for its database."""
    findings = [*_key_findings(directory, has_rooms=has_rooms)]
    leftovers = leftovers_of(directory)
    if unfinished_repair(directory) is not None:
        findings.append(
            damage(
                "repair_unfinished",
                "A repair was interrupted after it had proven the new database and before that "
                "one was in place.",
                remedy="Run it again: roomlog doctor --repair --store DIR",
            )
        )
    elif leftovers:
        names = ", ".join(path.name for path in leftovers)
        findings.append(
            warning(
                "leftover_files",
                f"{names} was left behind by a creation or a repair that was interrupted.",
                "It only takes space; a repair removes it.",
                is_repairable=True,
            )
        )
    for path, mode in ((directory.path, os.W_OK | os.X_OK), (directory.database, os.W_OK)):
        if path.exists() and not os.access(path, mode):
            findings.append(
                warning(
                    "not_writable",
                    f"{path} cannot be written by this user.",
                    "Run the doctor as the server's user; if this is that one, a server cannot "
                    "start here: correct owner and mode (chown, chmod) or the mount.",
                )
            )
    free_bytes = shutil.disk_usage(directory.path).free
    if free_bytes < LEAST_FREE_BYTES:
        findings.append(
            warning(
                "disk_almost_full",
                f"The disk of {directory.path} has {free_bytes} bytes left; a server refuses "
                "writes once they are gone.",
                "Make space.",
            )
        )
    return findings


def _key_findings(directory: StoreDirectory, *, has_rooms: bool) -> list[Finding]:
    key = directory.key
    put_back = (
        "Put the file back from a backup of the store (mode 600). It cannot be computed from "
        "anything: without it clients take the server for an impostor, and have to be told to "
        "trust another one."
    )
    if not key.exists():
        if not has_rooms:
            return []
        return [
            damage(
                "key_missing",
                f"{key.name}, the server's secret key, is not there, and the store has rooms.",
                remedy=put_back,
                is_repairable=False,
            )
        ]
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        return [
            warning(
                "key_readable_by_others",
                f"{key.name} can be read by other users of this machine; a server refuses it.",
                "A repair sets its mode to 600. Whoever has read it can pass for this server.",
                is_repairable=True,
            )
        ]
    try:
        Identity.load(key)
    except (OSError, IdentityFileError) as error:
        return [
            damage("key_damaged", f"{error}.", remedy=put_back, is_repairable=False),
        ]
    return []
