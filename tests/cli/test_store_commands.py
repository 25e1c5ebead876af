"""Commands about stores and keys: room, migrate, key, version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roomlog import __version__
from roomlog.cli import version as version_module
from roomlog.identity import Identity
from roomlog.server.manifest import build_manifest
from roomlog.store.interface import ReconcileWindow
from roomlog.store.sqlite import SqliteStore, migrate
from roomlog.store.sqlite.migration import Build
from tests.cli.running import ran
from tests.cli.stores import make_store
from tests.store.test_migrations import INITIAL, NEWER, NEWEST, OLD


def bytes_of(path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(path.iterdir())
    }


def test_rooms_are_listed_and_shown(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    replicas = make_store(tmp_path, "alpha", "beta")
    listed = ran(capfd, "room", "list", "--store", tmp_path)
    assert listed.code == 0
    assert [row.split()[:2] for row in listed.out.splitlines()[1:]] == [
        ["alpha", "4"],
        ["beta", "4"],
    ]
    shown = ran(capfd, "room", "list", "--store", tmp_path, "--json").json
    assert [each["room"] for each in shown] == ["alpha", "beta"]
    room = ran(capfd, "room", "show", "beta", "--store", tmp_path, "--json").json
    assert room["frontier"] == [node_id.hex() for node_id in replicas["beta"].frontier]
    assert room["seq"] == 4
    assert len(room["authors"]) == 1
    assert "2023-11-14T22:13:23.000Z" in ran(capfd, "room", "show", "beta", "--store", tmp_path).out
    unknown = ran(capfd, "room", "show", "gamma", "--store", tmp_path)
    assert unknown.code == 1
    assert "no room gamma" in unknown.err


def test_a_room_is_shown_with_its_snapshots_and_what_it_lost(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_store(tmp_path, "alpha")
    taken = ran(capfd, "room", "snapshot", "alpha", "--store", tmp_path, "--margin", "1")
    assert taken.code == 0, taken.err
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    room = store.open_room("alpha")
    assert room is not None
    asked = ReconcileWindow(b"l" * 16, room.epoch, b"n" * 16, 0, 0, 9, 1_000, 86_401_000)
    window = store.renew_epoch("alpha", asked)
    store.close()
    shown = ran(capfd, "room", "show", "alpha", "--store", tmp_path, "--json").json
    assert shown["snapshots"] == [3]
    assert shown["epoch"] == (b"n" * 16).hex()
    assert [each["checkpoint_seq"] for each in shown["reconcile_windows"]] == [9]
    assert [each["head_seq"] for each in shown["reconcile_windows"]] == [window.head_seq] == [4]
    text = ran(capfd, "room", "show", "alpha", "--store", tmp_path).out
    assert "at seq 3" in text
    assert "known up to seq 9, here was 4; taken back until 1970-01-02T00:00:01.000Z" in text


def test_an_empty_store_lists_no_room(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make_store(tmp_path)
    assert "no room yet" in ran(capfd, "room", "list", "--store", tmp_path).out
    assert ran(capfd, "room", "list", "--store", tmp_path, "--json").json == []


@pytest.mark.parametrize(
    "arguments",
    [["migrate", "status"], ["verify"], ["room", "list"], ["room", "show", "a"]],
)
def test_t41_commands_that_only_look_change_no_byte_of_the_store(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]
) -> None:
    make_store(tmp_path, "a")
    before = bytes_of(tmp_path)
    assert ran(capfd, *arguments, "--store", tmp_path).code == 0
    assert ran(capfd, *arguments, "--store", tmp_path, "--json").code == 0
    assert bytes_of(tmp_path) == before


def test_t41_replaying_a_store_changes_no_byte_of_it(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_store(tmp_path, "a")
    before = bytes_of(tmp_path)
    assert ran(capfd, "replay", tmp_path).code == 0
    assert bytes_of(tmp_path) == before


def use_build(monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    """Let the commands be those of another build."""
    for function in (migrate.status, migrate.apply, migrate.finalize, SqliteStore.open_read_only):
        target = getattr(function, "__func__", function)
        monkeypatch.setitem(target.__kwdefaults__, "build", build)


def make_with(path: Path, build: Build) -> None:
    SqliteStore.open(path, store_id=bytes(16), now_ms=1, build=build).close()


def test_migrating_step_by_step(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_with(tmp_path, OLD)
    use_build(monkeypatch, NEWER)
    store = ("--store", tmp_path)
    status = ran(capfd, "migrate", "status", *store)
    assert "pending  0002_room_label" in status.out
    assert "roomlog migrate up" in status.out
    early = ran(capfd, "migrate", "finalize", *store)
    assert early.code == 1
    assert "roomlog migrate up" in early.err
    assert ran(capfd, "migrate", "up", *store).out == "applied  0002_room_label\n"
    assert ran(capfd, "migrate", "up", *store, "--json").json == {"applied": []}
    assert ran(capfd, "migrate", "up", *store).out == "nothing is pending\n"
    assert "migrate finalize" in ran(capfd, "migrate", "status", *store).out
    unasked = ran(capfd, "migrate", "finalize", *store, "--json")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    done = ran(capfd, "migrate", "finalize", *store, "--yes")
    assert done.out == "the feature level is 2, was 1\n"
    again = ran(capfd, "migrate", "finalize", *store, "--json").json
    assert again == {"feature_level_before": 2, "feature_level": 2}
    final = ran(capfd, "migrate", "status", *store, "--json").json
    assert (final["schema_version"], final["feature_level"], final["pending"]) == (2, 2, [])
    assert "nothing to do" in ran(capfd, "migrate", "status", *store).out


def test_t42_the_commands_of_an_old_build_refuse_a_newer_store_and_name_the_release(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_with(tmp_path, NEWEST)
    use_build(monkeypatch, OLD)
    for arguments in (["migrate", "up"], ["migrate", "finalize"], ["verify"], ["room", "list"]):
        result = ran(capfd, *arguments, "--store", tmp_path)
        assert result.code == 1
        assert "roomlog 0.3.0" in result.err
    told = ran(capfd, "migrate", "status", "--store", tmp_path)
    assert told.code == 0
    assert "use roomlog 0.3.0" in told.out
    assert INITIAL.version == 1


def test_keys_are_made_once_and_shown_without_their_secret(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "me.key"
    made = ran(capfd, "key", "new", path)
    assert made.code == 0
    identity = Identity.load(path)
    assert identity.public_key.hex() in made.out
    seed = path.read_text().strip()
    shown = ran(capfd, "key", "show", path, "--json")
    assert shown.json == {"file": str(path), "public_key": identity.public_key.hex()}
    assert seed not in made.out + shown.out
    again = ran(capfd, "key", "new", path)
    assert again.code == 1
    assert "exists already" in again.err
    assert path.read_text().strip() == seed
    nowhere = ran(capfd, "key", "new", tmp_path / "absent" / "me.key")
    assert nowhere.code == 1
    assert "no directory" in nowhere.err


def test_the_version_is_told_short_and_whole(capfd: pytest.CaptureFixture[str]) -> None:
    assert __version__ in ran(capfd, "version").out
    assert ran(capfd, "version", "--json").json["roomlog"] == __version__
    manifest = ran(capfd, "version", "--manifest").json
    assert manifest == json.loads(json.dumps(build_manifest()))
    assert version_module.version.__doc__ is not None
