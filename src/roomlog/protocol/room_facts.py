"""What a session asks of its room."""

from __future__ import annotations

from typing import Protocol

from roomlog.protocol.messages import After, Peer


class RoomFacts(Protocol):
    """The durable log as it stands, and who is here. Everything answers at once, from memory."""

    @property
    def lineage(self) -> bytes:
        """32 bytes."""

    @property
    def epoch(self) -> bytes:
        """16 bytes."""

    @property
    def head_seq(self) -> int:
        """The greatest durable seq, 0 in an empty room."""

    @property
    def snapshot_seq(self) -> int:
        """The seq of a snapshot that may be offered, 0 when there is none, or none is worth it."""

    def frontier_ids(self) -> list[bytes]:
        """The heads of the durable log, ascending."""

    def id_at(self, seq: int) -> bytes:
        """The node with this durable seq."""

    def seq_of(self, node_id: bytes) -> int:
        """The durable seq of the node with this id, 0 when there is none."""

    def knows(self, node_id: bytes) -> bool:
        """Whether a node of this id is in the durable log."""

    def missing_of(self, known_epoch: bytes | None) -> After | None:
        """The lost log whose nodes are taken from anybody at present, after which seq.

        When several are lost, that of `known_epoch`, if it is one of them.
        """

    def checkpoint_signature(self) -> bytes | None:
        """The server's signature over `checkpoint_payload` of the log as it stands.

        None when its frontier is too wide to be shown in a hello.
        """

    def peers(self) -> list[Peer]:
        """The identities that have a session here."""
