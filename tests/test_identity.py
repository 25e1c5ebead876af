"""Identities and their files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from roomlog.core.errors import IdentityFileError
from roomlog.core.signing import Purpose, Signer, verify
from roomlog.identity import Identity

SEED = bytes(range(32))
posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")


def test_the_key_pair_of_a_seed_is_the_one_of_rfc_8032() -> None:
    # RFC 8032, 7.1, TEST 1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    identity = Identity.from_seed(seed)
    assert identity.public_key.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )


def test_what_it_signs_verifies_for_that_purpose() -> None:
    identity: Signer = Identity.from_seed(SEED)
    signature = identity.sign(Purpose.HELLO, b"payload")
    assert len(signature) == 64
    assert verify(identity.public_key, Purpose.HELLO, b"payload", signature)
    assert not verify(identity.public_key, Purpose.NODE, b"payload", signature)


def test_generated_identities_differ_and_equality_is_by_public_key() -> None:
    one, other = Identity.generate(), Identity.generate()
    assert one != other
    same = Identity.from_seed(SEED)
    assert same == Identity.from_seed(SEED)
    assert len({same, Identity.from_seed(SEED), one}) == 2
    assert same != same.public_key


def test_the_seed_is_in_no_text_of_it() -> None:
    identity = Identity.from_seed(SEED)
    assert repr(identity) == str(identity) == f"Identity(public_key={identity.public_key.hex()})"
    assert SEED.hex() not in repr(identity)


def test_a_seed_of_another_kind_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        Identity.from_seed(bytes(31))
    with pytest.raises(TypeError):
        Identity.from_seed(SEED.hex())  # type: ignore[arg-type]


def test_a_saved_identity_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    identity = Identity.generate()
    identity.save(path)
    assert Identity.load(path) == identity
    assert Identity.load(str(path)) == identity
    assert [each.name for each in tmp_path.iterdir()] == ["me.key"]
    assert len(path.read_bytes()) == 65


@posix_only
def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Identity.generate().save(tmp_path / "me.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "me.key").stat().st_mode) == 0o600


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    first = Identity.generate()
    first.save(path)
    with pytest.raises(FileExistsError):
        Identity.generate().save(path)
    assert Identity.load(path) == first
    assert [each.name for each in tmp_path.iterdir()] == ["me.key"]


@posix_only
def test_t27_file_and_directory_are_synced_before_save_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        named = (tmp_path / "me.key").exists()
        synced.append(f"{'directory' if stat.S_ISDIR(mode) else 'file'} named={named}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    Identity.generate().save(tmp_path / "me.key")
    assert synced == ["file named=False", "directory named=True"]


def test_t27_a_save_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError("disk")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="disk"):
            Identity.generate().save(tmp_path / "me.key")
    assert list(tmp_path.iterdir()) == []


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_file_that_others_can_reach_is_refused_by_its_path(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "me.key"
    Identity.generate().save(path)
    path.chmod(mode)
    with pytest.raises(IdentityFileError, match=r"me\.key") as raised:
        Identity.load(path)
    assert f"{mode:04o}" in str(raised.value)
    path.chmod(0o400)
    Identity.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        SEED,
        SEED.hex().encode(),
        SEED.hex().encode() + b"\r\n",
        SEED.hex().encode() + b"\n\n",
        SEED.hex().encode()[:-2] + b"\n",
        b"g" * 64 + b"\n",
        b"\xff" * 64 + b"\n",
        b" " * 64 + b"\n",
        (SEED.hex() * 2).encode(),
    ],
)
def test_a_file_of_another_form_is_refused_by_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "me.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IdentityFileError, match=r"me\.key"):
        Identity.load(path)


def test_an_absent_file_is_not_found_and_made_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    with pytest.raises(FileNotFoundError):
        Identity.load(path)
    made = Identity.load_or_create(path)
    assert Identity.load_or_create(path) == made


def test_whoever_creates_the_file_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "me.key"
    faster = Identity.generate()
    generate = Identity.generate

    def overtaken() -> Identity:
        faster.save(path)
        return generate()

    monkeypatch.setattr(Identity, "generate", overtaken)
    assert Identity.load_or_create(path) == faster


def test_without_posix_modes_and_directory_syncs_are_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "me.key"
    identity = Identity.generate()
    # pathlib looks at os.name too: only what the module itself asks is changed.
    monkeypatch.setattr("roomlog.identity._IS_POSIX", False)
    identity.save(path)
    path.chmod(0o644)
    assert Identity.load(path) == identity
