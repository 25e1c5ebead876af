"""Every release ever made: what it wrote opens here, and it and this build work in one room."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from roomlog import connect
from roomlog.core.pack import read_pack_file
from roomlog.core.replica import Replica

ROOT = Path(__file__).parents[2]
WHEELS = sorted((ROOT / "vectors" / "releases").glob("*.whl"))
ZOOS = sorted(path for path in (ROOT / "vectors" / "zoo").glob("*") if path.is_dir())
PROGRAM = Path(__file__).parent / "client_program.py"
SECONDS = 60

each_release = pytest.mark.parametrize("wheel", WHEELS, ids=lambda path: path.name.split("-")[1])
each_zoo = pytest.mark.parametrize("zoo", ZOOS, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Where each wheel lies as a tree of modules."""
    trees = {}
    for wheel in WHEELS:
        trees[wheel] = tmp_path_factory.mktemp("release")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(trees[wheel])
    return trees


def environment(tree: Path | None) -> dict[str, str]:
    """Of a process that imports roomlog from `tree`, or this build when there is none."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("ROOMLOG_")}
    variables["PYTHONPATH"] = str(tree or ROOT / "src")
    return variables


@contextmanager
def serving(store: Path, tree: Path | None, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "roomlog", "serve", "--store", str(store)]
    process = subprocess.Popen(
        [*command, "--bind", "127.0.0.1:0", *options],
        env=environment(tree),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "roomlog listens on " in line:
                break
        else:
            raise AssertionError("".join(lines))
        yield line.split()[3].rstrip(";")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0


def copied(zoo: Path, directory: Path) -> None:
    """A zoo to work on, its keys as private as they were: version control forgets that."""
    shutil.copytree(zoo, directory, dirs_exist_ok=True)
    for key in directory.rglob("*.key"):
        key.chmod(0o600)


def client(tree: Path | None, url: str, name: str, other: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), url, "mixed", name, other],
        env=environment(tree),
        stdout=subprocess.PIPE,
        text=True,
    )


def met(one: subprocess.Popen[str], two: subprocess.Popen[str]) -> list[dict[str, Any]]:
    try:
        return [json.loads(each.communicate(timeout=SECONDS)[0]) for each in (one, two)]
    finally:
        for each in (one, two):
            each.kill()


def test_there_is_a_zoo_for_every_release() -> None:
    assert WHEELS
    assert {path.name for path in ZOOS} == {path.name.split("-")[1] for path in WHEELS}


@each_release
@pytest.mark.parametrize("server", ["this build", "the release"])
def test_a_release_and_this_build_converge_in_one_room_on_either_server(
    wheel: Path, server: str, unpacked: dict[Path, Path], tmp_path: Path
) -> None:
    tree = unpacked[wheel]
    with serving(tmp_path / "store", tree if server == "the release" else None) as url:
        old, new = met(client(tree, url, "old", "new"), client(None, url, "new", "old"))
    assert old["version"] == wheel.name.split("-")[1]
    assert old["complete"]
    assert new["complete"]
    assert (old["hash"], old["nodes"]) == (new["hash"], new["nodes"])


@each_zoo
def test_a_pack_file_of_every_release_replays_to_its_hash(zoo: Path) -> None:
    expected = json.loads((zoo / "expected.json").read_text("utf-8"))
    data = (zoo / "room.pack").read_bytes()
    lineage, _ = read_pack_file(data)
    assert lineage.hex() == expected["lineage"]
    replica = Replica(expected["room"], None, lineage)
    result = replica.import_pack(data)
    assert not result.rejected
    assert not result.waiting
    assert len(replica) == expected["nodes"] - 1


@each_zoo
async def test_a_store_of_every_release_is_served_with_its_hash_and_takes_new_writes(
    zoo: Path, tmp_path: Path
) -> None:
    expected = json.loads((zoo / "expected.json").read_text("utf-8"))
    copied(zoo, tmp_path)
    command = [sys.executable, "-m", "roomlog", "verify", "--store", str(tmp_path / "store")]
    verified = await asyncio.to_thread(
        subprocess.run, command, env=environment(None), capture_output=True, timeout=SECONDS
    )
    assert verified.returncode == 0, verified.stderr.decode()
    with serving(tmp_path / "store", None, "--snapshot-worth-nodes", "50") as url:
        async with connect(url, room=expected["room"]) as doc:
            await doc.synced(SECONDS)
            assert doc.status.catch_up == "snapshot"
            assert doc.state_hash().hex == expected["state_hash"]
            await doc.history()
            assert doc.replica.lineage.hex() == expected["lineage"]
            assert doc.state_hash().hex == expected["state_hash"]
            assert str(doc.text("notes")) == expected["notes"]
            assert str(doc.counter("visits").value) == expected["visits"]


@each_zoo
async def test_a_clients_store_of_every_release_opens_with_its_unsent_writes_and_sends_them(
    zoo: Path, tmp_path: Path
) -> None:
    expected = json.loads((zoo / "expected.json").read_text("utf-8"))
    copied(zoo, tmp_path)
    with serving(tmp_path / "store", None) as url:
        room, key, store = expected["room"], tmp_path / "client.key", tmp_path / "client.db"
        async with connect(url, room=room, identity=key, store=store) as doc:
            assert [each.hex() for each in doc.pending] == expected["unsent"]
            assert doc.state_hash().hex == expected["state_hash_with_unsent"]
            await doc.synced(SECONDS)
            assert not doc.pending
            assert not len(doc.rejections())
            assert doc.state_hash().hex == expected["state_hash_with_unsent"]
