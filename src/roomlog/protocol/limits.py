"""The limits of a session: one struct, sent in `welcome.limits` and enforced on both sides."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB

LEAST_FRAME_BYTES = 512 * KIB
"""Every frame limit is at least this, so that the largest node always fits."""


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may do; every value has a default, a configuration key and a unit."""

    frame_bytes: int = 1 * MIB
    """Longest MessagePack frame."""
    frame_json_bytes: int = 1536 * KIB
    """Longest JSON frame; base64 takes a third more room."""
    pack_nodes: int = 4096
    """Most nodes in one pack."""
    frontier_ids: int = 1024
    """Most ids in one frontier or `request {ids}`."""
    have_pairs: int = 256
    """Most pairs in one `request {have}`."""
    subscription_patterns: int = 64
    """Most patterns of a subscription or a hash."""
    pattern_bytes: int = 256
    """Longest pattern, in bytes of UTF-8."""
    presence_bytes: int = 4 * KIB
    """Longest presence data, as MessagePack."""
    presence_ttl_ms: int = 30_000
    """How long presence lasts that names no time."""
    presence_ttl_max_ms: int = 300_000
    """How long presence may last without being shown again."""
    signal_bytes: int = 16 * KIB
    """Longest signal data, as MessagePack."""
    resend_window_ms: int = 7 * 24 * 3600 * 1000
    """How long ago nodes were admitted that may be sent without signatures."""
    reconcile_window_ms: int = 24 * 3600 * 1000
    """How long clients may push back what a server lost."""
    checkpoint_interval_ms: int = 60_000
    """How often live sessions get a checkpoint, if the log has grown."""
    queued_requests: int = 4
    """Most unanswered `request`s of a session, the running one included."""
    live_nodes_per_second: int = 200
    """Refill of the push credit, in nodes."""
    live_bytes_per_second: int = 4 * MIB
    """Refill of the push credit, in bytes of `pack.nodes`."""
    slice_nodes: int = 4096
    """Credit at the start and for each slice of a declared backlog, in nodes."""
    slice_bytes: int = 8 * MIB
    """The same in bytes."""
    backlog_nodes: int = 1 << 20
    """Most of a declared backlog that is granted outside the live rate, in nodes."""
    backlog_bytes: int = 1024 * MIB
    """The same in bytes."""
    messages_per_second: int = 200
    """Messages other than packs that a session may send, refill of a bucket ten seconds deep."""
    hello_wait_ms: int = 10_000
    """How long a socket may stay without a valid hello."""
    ping_interval_ms: int = 20_000
    """How often the server pings an idle socket."""
    pings_missed: int = 2
    """Unanswered pings after which a socket is dead."""
    send_stall_ms: int = 10_000
    """How long a reader's socket may make no progress."""
    clock_skew_ms: int = 5_000
    """How far a node's clock may run ahead of the server's."""

    def frame_limit(self, subprotocol: str) -> int:
        """Longest frame, in bytes, of a session that speaks `subprotocol`."""
        return self.frame_json_bytes if subprotocol.endswith("+json") else self.frame_bytes


DEFAULT_LIMITS = SessionLimits()
