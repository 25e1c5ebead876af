"""Changes inside of packs whose lengths and counts stay right, so that they reach the columns."""

from __future__ import annotations

from random import Random
from typing import Final

from roomlog.core.pack import PackBlocks
from roomlog.core.reject import Reject

MOST_COUNT_STEP: Final = 3
MOST_NODES: Final = 4096


def edited_pack(pack: bytes, random: Random) -> bytes | None:
    """The pack with one of its blocks changed, dropped or made up; None for what is no pack."""
    try:
        blocks = PackBlocks.parse(pack)
    except Reject:
        return None
    if blocks.count > MOST_NODES:
        return None
    dice = random.random()
    if dice < 0.4:
        blocks.headers = edited_bytes(blocks.headers, random)
    elif dice < 0.8 and blocks.bodies is not None:
        blocks.bodies = edited_bytes(blocks.bodies, random)
    elif dice < 0.85:
        blocks.columns = not blocks.columns
    elif dice < 0.9:
        blocks.signatures = None if blocks.signatures else random.randbytes(64 * blocks.count)
    elif dice < 0.95:
        blocks.hashes = None if blocks.hashes else random.randbytes(32 * blocks.count)
    else:
        _change_count(blocks, random)
    if blocks.bodies is None and blocks.hashes is None:
        blocks.hashes = bytes(32 * blocks.count)
    return blocks.encode()


def _change_count(blocks: PackBlocks, random: Random) -> None:
    count = max(0, blocks.count + random.randint(-MOST_COUNT_STEP, MOST_COUNT_STEP))
    if blocks.signatures is not None:
        blocks.signatures = blocks.signatures[: 64 * count].ljust(64 * count, b"\x01")
    if blocks.hashes is not None:
        blocks.hashes = blocks.hashes[: 32 * count].ljust(32 * count, b"\x01")
    blocks.count = count


def edited_bytes(data: bytes, random: Random) -> bytes:
    """Bytes with a few of them changed, added, taken out or repeated."""
    edited = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        place = random.randint(0, len(edited))
        dice = random.random()
        if dice < 0.4 and place < len(edited):
            edited[place] = random.randrange(256)
        elif dice < 0.6 and place < len(edited):
            edited[place] = (edited[place] + random.choice([-1, 1, 128, 32])) & 255
        elif dice < 0.7:
            edited.insert(place, random.choice([0, 1, 2, 127, 128, 255]))
        elif dice < 0.8:
            edited[place:place] = random.choice([b"\xff" * 9 + b"\x01", b"\x80\x01", b"\xff\x7f"])
        elif dice < 0.9:
            del edited[place : place + random.choice([1, 1, 2, 32])]
        else:
            start = random.randint(0, len(edited))
            edited[place:place] = edited[start : start + random.choice([1, 2, 4, 32])]
    return bytes(edited)
