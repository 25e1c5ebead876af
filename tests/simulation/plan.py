"""What happens in one run, as data: made from a seed, written to a file, shrunk, run again."""

from __future__ import annotations

from typing import Any

import msgspec


class ServerSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A server machine; `config` and `limits` replace values of the configuration."""

    name: str
    config: dict[str, Any] = {}
    limits: dict[str, Any] = {}


class ClientSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A client machine with the SDK, as `ClientMachine` takes it."""

    name: str
    server: str = "north"
    room: str = "room"
    key_of: str = ""
    """Another client whose key this one has as well; "" has its own."""
    codec: str = "msgpack"
    has_store: bool = True
    is_reader: bool = False
    verify: str = "live"
    history: str = "full"
    patterns: list[str] | None = None
    capabilities_off: list[str] = []


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """At `at_ms` of virtual time, `who` does `do`; `how` is what the action takes."""

    at_ms: int
    do: str
    who: str = ""
    how: dict[str, Any] = {}


class Plan(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole run. `seed` decides what the plan leaves open: delays, what a torn disk keeps."""

    seed: int
    servers: list[ServerSpec]
    clients: list[ClientSpec]
    steps: list[Step]
    settle_s: float = 600.0
    """Virtual seconds after the last step in which everybody must have come to agree."""
