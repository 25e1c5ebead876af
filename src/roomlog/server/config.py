"""The configuration: one table behind flags, `ROOMLOG_*` variables and a TOML file.

A flag wins over the environment, which wins over the file. What is unknown or cannot be is refused
by the name of its key.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import urlsplit

import msgspec

from roomlog.core.errors import RoomlogError
from roomlog.protocol.capabilities import CAPABILITIES
from roomlog.protocol.limits import DEFAULT_LIMITS, LEAST_FRAME_BYTES, SessionLimits

ENVIRONMENT_PREFIX: Final = "ROOMLOG_"
CONFIG_PATH_VARIABLE: Final = "ROOMLOG_CONFIG"
MAX_ORIGINS: Final = 8
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_GREATEST_COUNT: Final = 1 << 53
"""Exact in a float64, as which milliseconds become seconds."""
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


class ConfigError(RoomlogError):
    """A configuration that cannot be used; `key` names what is wrong with it."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class ValueKind(Enum):
    """What a key holds."""

    TEXT = "text"
    COUNT = "integer"
    FLAG = "true or false"
    TEXTS = "list of texts, separated by commas"
    CHOICE = "one of a few words"


@final
class ConfigKey(msgspec.Struct, frozen=True):
    """One row of the table. `least` bounds a COUNT, `choices` lists a CHOICE."""

    name: str
    kind: ValueKind
    default: str | int | bool | tuple[str, ...]
    unit: str
    meaning: str
    least: int = 0
    choices: tuple[str, ...] = ()
    is_secret: bool = False

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()


def _limit(name: str, unit: str, meaning: str, least: int = 1) -> ConfigKey:
    default = getattr(DEFAULT_LIMITS, name)
    return ConfigKey(name, ValueKind.COUNT, default, unit, meaning, least)


CONFIG_KEYS: Final[tuple[ConfigKey, ...]] = (
    ConfigKey(
        "store", ValueKind.TEXT, "", "path", "store directory; empty keeps everything in memory"
    ),
    ConfigKey("bind", ValueKind.TEXT, "127.0.0.1:7878", "host:port", "where to listen"),
    ConfigKey(
        "public_origins",
        ValueKind.TEXTS,
        (),
        "ws(s)://host[:port]",
        "what clients dial; by default the loopback names with the bound port",
    ),
    ConfigKey(
        "open", ValueKind.FLAG, False, "", "let anybody with a key write, on an address of the net"
    ),
    ConfigKey(
        "capabilities_off",
        ValueKind.TEXTS,
        (),
        "names",
        "capabilities that are not offered: sessions take the older ways beside them",
    ),
    ConfigKey(
        "log_format",
        ValueKind.CHOICE,
        "auto",
        "",
        "how log lines look; auto is console on a terminal, else json",
        choices=("auto", "json", "console"),
    ),
    ConfigKey(
        "log_level",
        ValueKind.CHOICE,
        "info",
        "",
        "least important log lines",
        choices=("debug", "info", "warning", "error"),
    ),
    ConfigKey(
        "connections_max",
        ValueKind.COUNT,
        10_000,
        "sockets",
        "most open sockets, silent ones included",
        least=1,
    ),
    ConfigKey(
        "connections_per_room", ValueKind.COUNT, 2_000, "sockets", "most in one room", least=1
    ),
    ConfigKey(
        "connections_per_address",
        ValueKind.COUNT,
        2_000,
        "sockets",
        "most from one network address (a /64 of IPv6), silent ones included",
        least=1,
    ),
    ConfigKey(
        "handshakes_per_address_per_second",
        ValueKind.COUNT,
        200,
        "handshakes/s",
        "most from one network address (a /64 of IPv6), ten seconds deep",
        least=1,
    ),
    ConfigKey(
        "handshakes_max", ValueKind.COUNT, 1_000, "handshakes", "most under way at once", least=1
    ),
    ConfigKey("rooms_max", ValueKind.COUNT, 10_000, "rooms", "most rooms in memory", least=1),
    ConfigKey(
        "reader_buffer_bytes",
        ValueKind.COUNT,
        1 << 20,
        "bytes",
        "what a live reader's socket may hold back before it is fed from the store",
        least=64 * 1024,
    ),
    ConfigKey(
        "idle_eviction_ms",
        ValueKind.COUNT,
        300_000,
        "ms",
        "how long a room without sessions stays in memory (durable stores)",
        least=1,
    ),
    ConfigKey(
        "drain_deadline_ms", ValueKind.COUNT, 10_000, "ms", "how long a drain may take", least=1
    ),
    ConfigKey(
        "drain_retry_after_ms",
        ValueKind.COUNT,
        1_000,
        "ms",
        "least wait that clients are told at a drain",
    ),
    ConfigKey(
        "drain_spread_ms", ValueKind.COUNT, 5_000, "ms", "spread of that wait over the clients"
    ),
    ConfigKey(
        "snapshot_every_nodes",
        ValueKind.COUNT,
        10_000,
        "nodes",
        "how much a log grows until its next snapshot; 0 takes none",
    ),
    ConfigKey(
        "snapshot_every_ms",
        ValueKind.COUNT,
        600_000,
        "ms",
        "how long a log that grows more slowly waits for its next snapshot",
        least=1,
    ),
    ConfigKey(
        "snapshot_margin_nodes",
        ValueKind.COUNT,
        64,
        "nodes",
        "how far below the head of the log a snapshot is taken",
    ),
    ConfigKey(
        "snapshot_worth_nodes",
        ValueKind.COUNT,
        1_000,
        "nodes",
        "least log that a snapshot stands for",
        least=1,
    ),
    ConfigKey("tick_ms", ValueKind.COUNT, 1_000, "ms", "how often the server looks around", 1),
    _limit("frame_bytes", "bytes", "longest MessagePack frame", LEAST_FRAME_BYTES),
    _limit("frame_json_bytes", "bytes", "longest JSON frame", LEAST_FRAME_BYTES * 3 // 2),
    _limit("pack_nodes", "nodes", "most nodes in a pack"),
    _limit("frontier_ids", "ids", "most ids in a frontier or a request"),
    _limit("have_pairs", "pairs", "most pairs in a search for where two logs part"),
    _limit("subscription_patterns", "patterns", "most patterns of a subscription or a hash"),
    _limit("pattern_bytes", "bytes", "longest pattern"),
    _limit("presence_bytes", "bytes", "longest presence data of a session"),
    _limit("presence_ttl_ms", "ms", "how long presence lasts that names no time"),
    _limit("presence_ttl_max_ms", "ms", "how long presence lasts without being shown again"),
    _limit("signal_bytes", "bytes", "longest signal"),
    _limit("resend_window_ms", "ms", "how old nodes are that may be sent without signatures", 0),
    _limit("reconcile_window_ms", "ms", "how long clients may push back what a server lost"),
    _limit("checkpoint_interval_ms", "ms", "how often sessions get a checkpoint of a grown log"),
    _limit("queued_requests", "requests", "most unanswered requests of a session"),
    _limit("live_nodes_per_second", "nodes/s", "refill of the push credit"),
    _limit("live_bytes_per_second", "bytes/s", "refill of the push credit"),
    _limit("slice_nodes", "nodes", "push credit at once"),
    _limit("slice_bytes", "bytes", "push credit at once", LEAST_FRAME_BYTES),
    _limit("backlog_nodes", "nodes", "most of a declared backlog outside the live rate", 0),
    _limit("backlog_bytes", "bytes", "most of a declared backlog outside the live rate", 0),
    _limit("messages_per_second", "messages/s", "messages other than packs, ten seconds deep"),
    _limit("hello_wait_ms", "ms", "how long a socket may be without a valid hello"),
    _limit("ping_interval_ms", "ms", "how often idle sockets are pinged"),
    _limit("pings_missed", "pings", "unanswered pings after which a socket is dead"),
    _limit("send_stall_ms", "ms", "how long a socket may take nothing"),
    _limit("clock_skew_ms", "ms", "how far a node's clock may run ahead", 0),
)
_BY_NAME: Final = {key.name: key for key in CONFIG_KEYS}


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Every value of `CONFIG_KEYS`; the session limits are together in `limits`.

    `sources` says for each key where its value is from: default, file, environment or flag.
    """

    store: str = ""
    bind: str = "127.0.0.1:7878"
    public_origins: tuple[str, ...] = ()
    open: bool = False
    capabilities_off: tuple[str, ...] = ()
    log_format: str = "auto"
    log_level: str = "info"
    connections_max: int = 10_000
    connections_per_room: int = 2_000
    connections_per_address: int = 2_000
    handshakes_per_address_per_second: int = 200
    handshakes_max: int = 1_000
    rooms_max: int = 10_000
    reader_buffer_bytes: int = 1 << 20
    idle_eviction_ms: int = 300_000
    drain_deadline_ms: int = 10_000
    drain_retry_after_ms: int = 1_000
    drain_spread_ms: int = 5_000
    snapshot_every_nodes: int = 10_000
    snapshot_every_ms: int = 600_000
    snapshot_margin_nodes: int = 64
    snapshot_worth_nodes: int = 1_000
    tick_ms: int = 1_000
    limits: SessionLimits = DEFAULT_LIMITS
    sources: dict[str, str] = {}

    @property
    def host(self) -> str:
        """The address to listen on, without brackets."""
        return split_bind(self.bind)[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 lets the system choose."""
        return split_bind(self.bind)[1]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return _is_loopback(self.host)

    def origins(self, bound_port: int) -> tuple[str, ...]:
        """What clients may have dialled when the server listens on `bound_port`."""
        if self.public_origins:
            return self.public_origins
        suffix = "" if bound_port == _DEFAULT_PORTS["ws"] else f":{bound_port}"
        names = list(LOOPBACK_NAMES)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        if shown not in names:
            names.append(shown)
        return tuple(f"ws://{name}{suffix}" for name in names)

    def value(self, name: str) -> Any:
        """The value of one key of the table."""
        holder = self.limits if name in _LIMIT_NAMES else self
        return getattr(holder, name)


_LIMIT_NAMES: Final = frozenset(SessionLimits.__struct_fields__)


def load_config(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    toml_path: str | Path | None = None,
) -> ServerConfig:
    """The effective configuration.

    `flags` are values by key name, None meaning not given. `environ` is read for `ROOMLOG_*`;
    `toml_path` None means the file that `ROOMLOG_CONFIG` names, if any. Raises `ConfigError`.
    """
    values: dict[str, object] = {}
    sources = dict.fromkeys(_BY_NAME, "default")
    path = toml_path if toml_path is not None else environ.get(CONFIG_PATH_VARIABLE)
    if path:
        for name, value in _read_file(Path(path)).items():
            values[name] = _checked(_key(name, name), value, name)
            sources[name] = "file"
    for variable, text in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != CONFIG_PATH_VARIABLE:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            values[name] = _parsed(_key(name, variable), text, variable)
            sources[name] = "environment"
    for name, value in flags.items():
        if value is None:
            continue
        key = _key(name, name)
        given = _parsed(key, value, key.flag) if isinstance(value, str) else value
        values[name] = _checked(key, given, key.flag)
        sources[name] = "flag"
    limits = msgspec.convert(
        {name: value for name, value in values.items() if name in _LIMIT_NAMES}, SessionLimits
    )
    others = {name: value for name, value in values.items() if name not in _LIMIT_NAMES}
    config = msgspec.convert({**others, "limits": limits, "sources": sources}, ServerConfig)
    _check_together(config)
    return config


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("config", f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config", f"{path} is not TOML: {error}") from None


def _key(name: str, shown: str) -> ConfigKey:
    key = _BY_NAME.get(name)
    if key is None:
        raise ConfigError(shown, "there is no such key")
    return key


def _parsed(key: ConfigKey, text: str, shown: str) -> object:
    """A value that came as text."""
    if key.kind is ValueKind.COUNT:
        try:
            return _checked(key, int(text.replace("_", "")), shown)
        except ValueError:
            raise ConfigError(shown, f"{text!r} is not an integer") from None
    if key.kind is ValueKind.FLAG:
        word = text.lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off", ""):
            return False
        raise ConfigError(shown, f"{text!r} is neither true nor false")
    if key.kind is ValueKind.TEXTS:
        return _checked(key, [part.strip() for part in text.split(",") if part.strip()], shown)
    return _checked(key, text, shown)


def _checked(key: ConfigKey, value: object, shown: str) -> object:
    """A value of the right type, within its bounds."""
    kind = key.kind
    if kind is ValueKind.COUNT:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(shown, f"{value!r} is not an integer")
        if value < key.least:
            raise ConfigError(shown, f"{value} is below {key.least}")
        if value > _GREATEST_COUNT:
            raise ConfigError(shown, f"above {_GREATEST_COUNT}")
    elif kind is ValueKind.FLAG:
        if not isinstance(value, bool):
            raise ConfigError(shown, f"{value!r} is neither true nor false")
    elif kind is ValueKind.TEXTS:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ConfigError(shown, f"{value!r} is not a list of texts")
        if key.name == "public_origins":
            return _origins(tuple(value), shown)
        if key.name == "capabilities_off":
            unknown = sorted(set(value) - {row.name for row in CAPABILITIES})
            if unknown:
                raise ConfigError(shown, f"there is no capability {', '.join(unknown)}")
        return tuple(value)
    elif not isinstance(value, str):
        raise ConfigError(shown, f"{value!r} is not text")
    elif kind is ValueKind.CHOICE and value not in key.choices:
        raise ConfigError(shown, f"{value!r} is none of {', '.join(key.choices)}")
    elif key.name == "bind":
        split_bind(value, shown)
    return value


def _origins(origins: tuple[str, ...], shown: str) -> tuple[str, ...]:
    if len(origins) > MAX_ORIGINS:
        raise ConfigError(shown, f"more than {MAX_ORIGINS} origins")
    return tuple(normal_origin(origin, shown) for origin in origins)


def normal_origin(origin: str, shown: str = "origin") -> str:
    """`scheme://host[:port]` in lower case, the default port left out. Raises `ConfigError`."""
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError as error:
        raise ConfigError(shown, f"{origin!r}: {error}") from None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.username or parts.password:
        raise ConfigError(shown, f"{origin!r} is not ws://host[:port] or wss://host[:port]")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(shown, f"{origin!r} has more than a host and a port")
    name = f"[{host}]" if ":" in host else host
    suffix = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{name}{suffix}"


def split_bind(bind: str, shown: str = "bind") -> tuple[str, int]:
    """Host (without brackets) and port of `host:port`. Raises `ConfigError`."""
    host, separator, port = bind.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit():
        raise ConfigError(shown, f"{bind!r} is not host:port")
    # Python reads no number of more than a few thousand digits.
    number = port.lstrip("0") or "0"
    if len(number) > 5 or int(number) > 65_535:
        raise ConfigError(shown, f"{port} is no port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not host:
            raise ConfigError(shown, f"{bind!r} names no host")
    elif ":" in host:
        raise ConfigError(shown, f"{bind!r}: an IPv6 address needs brackets")
    return host, int(number)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_together(config: ServerConfig) -> None:
    if not config.is_loopback:
        if not config.public_origins:
            raise ConfigError(
                "public_origins",
                f"{config.bind} can be reached from elsewhere: name what clients dial, "
                "for example wss://rooms.example.org",
            )
        if not config.open:
            raise ConfigError(
                "open",
                f"{config.bind} can be reached from elsewhere, and no trust can be configured "
                "yet: allow anybody with a key to write by setting open",
            )
    limits = config.limits
    if limits.frame_json_bytes * 2 < limits.frame_bytes * 3:
        raise ConfigError("frame_json_bytes", "must be at least one and a half of frame_bytes")
    if limits.slice_bytes < limits.frame_bytes:
        raise ConfigError("slice_bytes", "must be at least frame_bytes")
