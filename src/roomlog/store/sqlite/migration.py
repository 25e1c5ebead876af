"""A migration as data, and a build as the list of migrations and levels it brings."""

from __future__ import annotations

import enum
from typing import final

from blake3 import blake3
from msgspec import Struct


class Phase(enum.Enum):
    """What a migration may do. EXPAND adds what old code ignores, so old code may go on.

    Backfill and contract phases are named in `storage.md`; no migration of this build has them.
    """

    EXPAND = "expand"


class Migration(Struct, frozen=True):
    """One step of the schema, applied in one transaction.

    `compat_version` is the oldest schema version of code that may open the store afterwards.
    """

    version: int
    name: str
    phase: Phase
    compat_version: int
    statements: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """How people name it: `0001_initial`."""
        return f"{self.version:04d}_{self.name}"

    @property
    def checksum(self) -> bytes:
        """BLAKE3 of everything that the migration is: compared with the store at every open."""
        hasher = blake3()
        parts = (
            str(self.version),
            self.name,
            self.phase.value,
            str(self.compat_version),
            *(" ".join(statement.split()) for statement in self.statements),
        )
        for part in parts:
            encoded = part.encode()
            hasher.update(len(encoded).to_bytes(4, "big") + encoded)
        return hasher.digest()


@final
class Build:
    """What a build of the code brings to a store: its release, its levels and its migrations."""

    def __init__(
        self,
        release: str,
        schema_version: int,
        compat_version: int,
        feature_level: int,
        migrations: tuple[Migration, ...],
    ) -> None:
        versions = [migration.version for migration in migrations]
        if versions != list(range(1, schema_version + 1)):
            raise ValueError(f"migrations {versions} do not lead to schema {schema_version}")
        if max(migration.compat_version for migration in migrations) != compat_version:
            raise ValueError(f"no migration asks for compat version {compat_version}")
        self.release = release
        self.schema_version = schema_version
        self.compat_version = compat_version
        self.feature_level = feature_level
        self.migrations = migrations
