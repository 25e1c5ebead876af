"""Packs: nodes as blocks that can be sliced off. ``docs/design/pack-format.md`` has the bytes."""

from roomlog.core.pack.blocks import Layout, PackBlocks
from roomlog.core.pack.codec import decode_pack, encode_pack
from roomlog.core.pack.file import read_pack_file, write_pack_file
from roomlog.core.pack.slicing import concatenate_rows, select

__all__ = [
    "Layout",
    "PackBlocks",
    "concatenate_rows",
    "decode_pack",
    "encode_pack",
    "read_pack_file",
    "select",
    "write_pack_file",
]
