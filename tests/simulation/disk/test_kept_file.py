"""What a disk may hold of one file, against every version of every sector it ever had."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.disk.kept_file import SECTOR_BYTES, KeptFile, Loss

END = 20_000
WRITES = st.tuples(st.just("write"), st.integers(0, END), st.integers(1, 6_000))
STEPS = st.lists(
    st.one_of(
        WRITES,
        st.tuples(st.just("truncate"), st.integers(0, END), st.just(0)),
        st.tuples(st.just("sync"), st.just(0), st.just(0)),
    ),
    max_size=20,
)


def apply(kept: KeptFile, step: tuple[str, int, int], number: int) -> None:
    kind, offset, length = step
    if kind == "write":
        kept.write(offset, bytes([number % 255 + 1]) * length)
    elif kind == "truncate":
        kept.truncate(offset)
    else:
        kept.sync()


def sectors(content: bytes) -> list[bytes]:
    padded = content.ljust(END * 2, b"\0")
    return [padded[start : start + SECTOR_BYTES] for start in range(0, len(padded), SECTOR_BYTES)]


def kept_in(directory: str) -> tuple[Path, KeptFile]:
    path = Path(directory) / "file"
    path.write_bytes(b"\xff" * 5_000)
    return path, KeptFile(str(path))


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 100))
def test_what_was_synced_stays_and_what_was_not_is_any_mixture(
    steps: list[tuple[str, int, int]], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path, kept = kept_in(directory)
        synced = path.read_bytes()
        versions = [sectors(synced)]
        for number, step in enumerate(steps):
            apply(kept, step, number)
            content = path.read_bytes()
            if step[0] == "sync":
                synced, versions = content, []
            versions.append(sectors(content))
        stream = random.Random(seed)
        assert kept.after_power_loss(stream, Loss.EVERYTHING)[0] == synced
        assert kept.after_power_loss(stream, Loss.NOTHING)[0] == path.read_bytes()
        # A write that follows a lost truncation may fill less of a sector than it seemed to.
        if not any(kind == "truncate" for kind, _, _ in steps):
            for loss in (Loss.RANDOM, Loss.TORN):
                image = sectors(kept.after_power_loss(stream, loss)[0])
                marks = [
                    {version[place][at] for version in versions for at in (0, -1)}
                    for place in range(len(image))
                ]
                for sector, allowed in zip(image, marks, strict=True):
                    assert {sector[0], sector[-1]} <= allowed | {0}
        kept.close()


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS, st.integers(0, 100))
def test_what_a_failed_sync_gave_up_is_written_by_no_later_one_but_what_was_safe_stays(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path, kept = kept_in(directory)
        for number, step in enumerate(before):
            apply(kept, step, number)
        kept.sync()
        synced = path.read_bytes()
        kept.write(len(synced), b"given up" * 1_000)
        kept.fail_sync()
        kept.sync()
        # Longer than before, and of the synced bytes none is missing.
        image, _, _ = kept.after_power_loss(random.Random(seed), Loss.EVERYTHING)
        assert image == synced.ljust(len(synced) + 8_000, b"\0")
        assert kept.after_power_loss(random.Random(seed), Loss.NOTHING)[0] == path.read_bytes()
        # Who writes the same again and syncs has it.
        kept.write(len(synced), path.read_bytes()[len(synced) :])
        kept.sync()
        image, _, _ = kept.after_power_loss(random.Random(seed), Loss.EVERYTHING)
        assert image == path.read_bytes()
        for number, step in enumerate(after):
            apply(kept, step, number)
        kept.settle()
        assert kept.after_power_loss(random.Random(seed), Loss.TORN)[0] == path.read_bytes()
        kept.close()


def test_a_system_that_drops_clean_pages_shows_what_the_disk_has(tmp_path: Path) -> None:
    shown = set()
    for seed in range(12):
        path = tmp_path / str(seed)
        path.write_bytes(b"a" * 8_192)
        kept = KeptFile(str(path))
        kept.write(0, b"b" * 4_096)
        kept.fail_sync()
        kept.write(4_096, b"c" * 4_096)
        kept.forget_clean_pages(random.Random(seed))
        content = path.read_bytes()
        assert content[4_096:] == b"c" * 4_096
        shown.add(content[:1])
        # What it shows now is what is there; what was not yet synced still is not.
        image, _, _ = kept.after_power_loss(random.Random(seed), Loss.EVERYTHING)
        assert image == content[:4_096] + b"a" * 4_096
        kept.close()
    assert shown == {b"a", b"b"}
