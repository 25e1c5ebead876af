"""One table behind flags, environment and file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.protocol.limits import SessionLimits
from roomlog.server.config import (
    CONFIG_KEYS,
    ConfigError,
    ConfigKey,
    ServerConfig,
    ValueKind,
    load_config,
    normal_origin,
    split_bind,
)

OPEN = {"public_origins": "wss://rooms.example", "open": True}


def key_at_fault(flags: dict[str, object], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(flags, environ or {})
    return refused.value.key


def test_the_table_and_the_structs_have_the_same_keys_and_defaults() -> None:
    config = ServerConfig()
    fields = set(ServerConfig.__struct_fields__) - {"limits", "sources"}
    fields |= set(SessionLimits.__struct_fields__)
    assert {key.name for key in CONFIG_KEYS} == fields
    for key in CONFIG_KEYS:
        assert config.value(key.name) == key.default, key.name
        assert key.meaning
        assert (key.kind is ValueKind.CHOICE) == bool(key.choices)


def test_nothing_given_is_all_defaults() -> None:
    config = load_config({}, {})
    assert config == ServerConfig(sources=config.sources)
    assert set(config.sources.values()) == {"default"}


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "roomlog.toml"
    path.write_text('pack_nodes = 10\nframe_bytes = 600000\nstore = "from-file"\n')
    environ = {"ROOMLOG_PACK_NODES": "20", "ROOMLOG_STORE": "from-environment", "OTHER": "x"}
    config = load_config({"pack_nodes": 30, "log_level": None}, environ, path)
    assert config.limits.pack_nodes == 30
    assert config.store == "from-environment"
    assert config.limits.frame_bytes == 600_000
    assert config.sources["pack_nodes"] == "flag"
    assert config.sources["store"] == "environment"
    assert config.sources["frame_bytes"] == "file"
    assert config.sources["log_level"] == "default"


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "roomlog.toml"
    path.write_text("tick_ms = 77\n")
    assert load_config({}, {"ROOMLOG_CONFIG": str(path)}).tick_ms == 77


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("no_such_key = 1\n", "no_such_key"),
        ("pack_nodes = 'many'\n", "pack_nodes"),
        ("pack_nodes = true\n", "pack_nodes"),
        ("pack_nodes = 0\n", "pack_nodes"),
        ("open = 1\n", "open"),
        ("store = 7\n", "store"),
        ("public_origins = 'wss://a'\n", "public_origins"),
        ("public_origins = [7]\n", "public_origins"),
        ("log_level = 'loud'\n", "log_level"),
        ("bind = 'here'\n", "bind"),
        ("not toml", "config"),
    ],
)
def test_a_wrong_file_is_refused_by_key(tmp_path: Path, content: str, key: str) -> None:
    path = tmp_path / "roomlog.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        load_config({}, {}, path)
    assert refused.value.key == key
    assert str(refused.value).startswith(f"{key}: ")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config({}, {}, tmp_path / "absent.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="TOML"):
        load_config({}, {}, tmp_path / "binary")


def test_unknown_and_wrong_variables_are_refused_by_name() -> None:
    assert key_at_fault({}, {"ROOMLOG_PAKC_NODES": "1"}) == "ROOMLOG_PAKC_NODES"
    assert key_at_fault({}, {"ROOMLOG_PACK_NODES": "many"}) == "ROOMLOG_PACK_NODES"
    assert key_at_fault({}, {"ROOMLOG_PACK_NODES": "0"}) == "ROOMLOG_PACK_NODES"
    assert key_at_fault({}, {"ROOMLOG_OPEN": "perhaps"}) == "ROOMLOG_OPEN"


def test_unknown_and_wrong_flags_are_refused_by_name() -> None:
    assert key_at_fault({"pakc_nodes": 1}) == "pakc_nodes"
    assert key_at_fault({"pack_nodes": "many"}) == "--pack-nodes"
    assert key_at_fault({"frame_bytes": 1000}) == "--frame-bytes"


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_words_for_true(word: str) -> None:
    assert load_config({}, {"ROOMLOG_OPEN": word}).open


@pytest.mark.parametrize("word", ["0", "false", "No", "off", ""])
def test_words_for_false(word: str) -> None:
    assert not load_config({}, {"ROOMLOG_OPEN": word}).open


def test_lists_are_separated_by_commas() -> None:
    origins = load_config({}, {"ROOMLOG_PUBLIC_ORIGINS": "wss://a.b, ws://c:80 ,"}).public_origins
    assert origins == ("wss://a.b", "ws://c")


def test_an_address_of_the_net_needs_origins_and_openness() -> None:
    for bind in ("0.0.0.0:80", "[::]:80", "192.0.2.7:80", "example.org:80"):
        assert key_at_fault({"bind": bind}) == "public_origins"
        assert key_at_fault({"bind": bind, "public_origins": "wss://a.b"}) == "open"
        assert load_config({"bind": bind, **OPEN}, {}).public_origins == ("wss://rooms.example",)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "localhost:1", "[::1]:2", "127.1.2.3:4"])
def test_loopback_needs_nothing(bind: str) -> None:
    assert load_config({"bind": bind}, {}).is_loopback


def test_the_default_origins_are_the_loopback_names_with_the_bound_port() -> None:
    assert load_config({}, {}).origins(4321) == (
        "ws://localhost:4321",
        "ws://127.0.0.1:4321",
        "ws://[::1]:4321",
    )
    assert load_config({}, {}).origins(80)[0] == "ws://localhost"
    assert "ws://127.0.0.9:5" in load_config({"bind": "127.0.0.9:0"}, {}).origins(5)
    assert load_config(OPEN, {}).origins(4321) == ("wss://rooms.example",)


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.b",
        "wss://",
        "a.b",
        "wss://a.b/path",
        "wss://a.b?x",
        "wss://u:p@a.b",
        "wss://a.b:99999",
        "wss://[::1",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    assert key_at_fault({"public_origins": [origin]}) == "--public-origins"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("WSS://Rooms.Example:443/", "wss://rooms.example"),
        ("ws://a:80", "ws://a"),
        ("wss://a:80", "wss://a:80"),
        ("ws://[::1]:7878", "ws://[::1]:7878"),
    ],
)
def test_origins_have_one_form(given: str, normal: str) -> None:
    assert normal_origin(given) == normal


def test_too_many_origins_are_refused() -> None:
    assert key_at_fault({"public_origins": [f"ws://a{n}" for n in range(9)]}) == "--public-origins"


@pytest.mark.parametrize(
    ("bind", "parts"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:2", ("::1", 2)), ("name:65535", ("name", 65535))],
)
def test_binds_are_host_and_port(bind: str, parts: tuple[str, int]) -> None:
    assert split_bind(bind) == parts
    config = load_config({"bind": bind, **OPEN}, {})
    assert (config.host, config.port) == parts


@pytest.mark.parametrize("bind", ["", "7878", ":7878", "a:b", "a:65536", "::1:2", "a:-1", "a:²"])
def test_what_is_no_bind_is_refused(bind: str) -> None:
    assert key_at_fault({"bind": bind}) == "--bind"


def test_limits_that_contradict_each_other_are_refused() -> None:
    assert key_at_fault({"frame_bytes": 1 << 21}) == "frame_json_bytes"
    assert key_at_fault({"frame_bytes": 1 << 24, "frame_json_bytes": 1 << 25}) == "slice_bytes"


def test_a_key_knows_its_flag_and_variable() -> None:
    key = next(key for key in CONFIG_KEYS if key.name == "pack_nodes")
    assert (key.flag, key.variable) == ("--pack-nodes", "ROOMLOG_PACK_NODES")


@given(text=st.text(max_size=20), key=st.sampled_from(CONFIG_KEYS))
def test_any_text_is_a_value_or_refused_by_key(text: str, key: ConfigKey) -> None:
    try:
        config = load_config({key.name: text}, {})
        at_fault = key.flag
    except ConfigError as error:
        config, at_fault = None, error.key
    together = {"public_origins", "open", "slice_bytes", "frame_json_bytes"}
    assert at_fault == key.flag or at_fault in together
    assert config is None or config.sources[key.name] == "flag"


def test_a_capability_that_is_switched_off_has_to_exist() -> None:
    config = load_config({"capabilities_off": ["log_cut"]}, {}, None)
    assert config.capabilities_off == ("log_cut",)
    config = load_config({}, {"ROOMLOG_CAPABILITIES_OFF": "log_cut, presence_ttl"}, None)
    assert config.capabilities_off == ("log_cut", "presence_ttl")
    with pytest.raises(ConfigError, match="flying"):
        load_config({"capabilities_off": ["flying"]}, {}, None)
