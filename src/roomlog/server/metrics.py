"""Every metric, declared once. Labels come from fixed sets only, never from what users write."""

from __future__ import annotations

from typing import Final, final

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

PREFIX: Final = "roomlog_"
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_COUNTS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 4096.0)
_SKEW_SECONDS: Final = (5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)


@final
class MetricRow(msgspec.Struct, frozen=True):
    """One row of the table; `name` without the prefix."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: Final[tuple[MetricRow, ...]] = (
    MetricRow("connections", "gauge", "open sockets"),
    MetricRow(
        "sessions_total",
        "counter",
        "sessions welcomed",
        ("client", "version", "proto"),
    ),
    MetricRow("handshake_seconds", "histogram", "socket open to welcome", (), _SECONDS),
    MetricRow("closes_total", "counter", "sessions ended, by close code", ("code",)),
    MetricRow("rejects_total", "counter", "nodes refused, by class", ("class",)),
    MetricRow("errors_total", "counter", "error messages sent, by class", ("class",)),
    MetricRow("nodes_admitted_total", "counter", "nodes admitted and durable"),
    MetricRow("pack_ack_seconds", "histogram", "pack received to acknowledged", (), _SECONDS),
    MetricRow("commit_batch_nodes", "histogram", "nodes in one commit", (), _COUNTS),
    MetricRow("commit_seconds", "histogram", "one commit with its fsync", (), _SECONDS),
    MetricRow(
        "relay_lag_seconds", "histogram", "oldest pack of a relay, received to sent", (), _SECONDS
    ),
    MetricRow("send_queue_bytes", "gauge", "bytes in the send buffers of all sockets"),
    MetricRow("resyncs_total", "counter", "sessions closed to come back", ("reason",)),
    MetricRow("readers_behind_total", "counter", "readers that left the live set"),
    MetricRow("catch_up_total", "counter", "welcomes, by how the client catches up", ("mode",)),
    MetricRow("catch_up_seconds", "histogram", "request to request-end", ("mode",), _SECONDS),
    MetricRow("catch_up_bytes", "counter", "bytes of packs sent from the store"),
    MetricRow("presence_peers", "gauge", "identities in all rooms, each once a room"),
    MetricRow("rooms_resident", "gauge", "rooms in memory"),
    MetricRow("room_open_seconds", "histogram", "loading a room", (), _SECONDS),
    MetricRow("evictions_total", "counter", "idle rooms dropped from memory"),
    MetricRow("store_errors_total", "counter", "faults of the store", ("op",)),
    MetricRow("store_seconds", "histogram", "reads from the store", ("op",), _SECONDS),
    MetricRow("rate_limited_total", "counter", "messages beyond a budget", ("kind",)),
    MetricRow(
        "clock_ahead_seconds", "histogram", "how far refused clocks were ahead", (), _SKEW_SECONDS
    ),
    MetricRow("lost_logs_total", "counter", "logs found to be lost: their epoch was renewed"),
    MetricRow("nodes_reinstated_total", "counter", "nodes of others taken in reconcile windows"),
    MetricRow("snapshots_total", "counter", "tries to take a snapshot", ("outcome",)),
    MetricRow("snapshot_seconds", "histogram", "taking a snapshot, in all", (), _SECONDS),
    MetricRow("snapshot_bytes_total", "counter", "bytes of the states of snapshots taken"),
    MetricRow("merges_signed_total", "counter", "merge nodes signed by the server"),
    MetricRow("schema_version", "gauge", "schema version of the store"),
    MetricRow("schema_compat_version", "gauge", "oldest code schema that may open the store"),
    MetricRow("feature_level", "gauge", "feature level of the store"),
    MetricRow("build_info", "gauge", "1, with the version as label", ("version",)),
    MetricRow("event_loop_lag_seconds", "histogram", "how late timers run", (), _SECONDS),
)
_BY_NAME: Final = {row.name: row for row in METRICS}


@final
class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(namespace="roomlog", registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._made: set[str] = set()
        self.connections = self._gauge("connections")
        self.sessions_total = self._counter("sessions_total")
        self.handshake_seconds = self._histogram("handshake_seconds")
        self.closes_total = self._counter("closes_total")
        self.rejects_total = self._counter("rejects_total")
        self.errors_total = self._counter("errors_total")
        self.nodes_admitted_total = self._counter("nodes_admitted_total")
        self.pack_ack_seconds = self._histogram("pack_ack_seconds")
        self.commit_batch_nodes = self._histogram("commit_batch_nodes")
        self.commit_seconds = self._histogram("commit_seconds")
        self.relay_lag_seconds = self._histogram("relay_lag_seconds")
        self.send_queue_bytes = self._gauge("send_queue_bytes")
        self.resyncs_total = self._counter("resyncs_total")
        self.readers_behind_total = self._counter("readers_behind_total")
        self.catch_up_total = self._counter("catch_up_total")
        self.catch_up_seconds = self._histogram("catch_up_seconds")
        self.catch_up_bytes = self._counter("catch_up_bytes")
        self.presence_peers = self._gauge("presence_peers")
        self.rooms_resident = self._gauge("rooms_resident")
        self.room_open_seconds = self._histogram("room_open_seconds")
        self.evictions_total = self._counter("evictions_total")
        self.store_errors_total = self._counter("store_errors_total")
        self.store_seconds = self._histogram("store_seconds")
        self.rate_limited_total = self._counter("rate_limited_total")
        self.clock_ahead_seconds = self._histogram("clock_ahead_seconds")
        self.lost_logs_total = self._counter("lost_logs_total")
        self.nodes_reinstated_total = self._counter("nodes_reinstated_total")
        self.snapshots_total = self._counter("snapshots_total")
        self.snapshot_seconds = self._histogram("snapshot_seconds")
        self.snapshot_bytes_total = self._counter("snapshot_bytes_total")
        self.merges_signed_total = self._counter("merges_signed_total")
        self.schema_version = self._gauge("schema_version")
        self.schema_compat_version = self._gauge("schema_compat_version")
        self.feature_level = self._gauge("feature_level")
        self.build_info = self._gauge("build_info")
        self.event_loop_lag_seconds = self._histogram("event_loop_lag_seconds")
        missing = set(_BY_NAME) - self._made
        assert not missing, f"declared but not made: {missing}"

    def exposition(self) -> bytes:
        """The text format of Prometheus, version 0.0.4."""
        return generate_latest(self._registry)

    def _row(self, name: str, kind: str) -> MetricRow:
        row = _BY_NAME[name]
        assert row.kind == kind, f"{name} is declared as {row.kind}"
        self._made.add(name)
        return row

    def _counter(self, name: str) -> Counter:
        row = self._row(name, "counter")
        return Counter(PREFIX + name, row.meaning, row.labels, registry=self._registry)

    def _gauge(self, name: str) -> Gauge:
        row = self._row(name, "gauge")
        return Gauge(PREFIX + name, row.meaning, row.labels, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        row = self._row(name, "histogram")
        return Histogram(
            PREFIX + name, row.meaning, row.labels, registry=self._registry, buckets=row.buckets
        )
