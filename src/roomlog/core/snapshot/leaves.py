"""The leaves of the state hash, straight from a snapshot's state."""

from roomlog.core import canonical
from roomlog.core.crdt.map import BlobReference
from roomlog.core.snapshot.format import SnapshotState
from roomlog.core.state_hash import (
    BLOB_LEAF,
    COUNTER_LEAF,
    LEAF_KINDS,
    LIST_LEAF,
    MAP_LEAF,
    TEXT_LEAF,
    leaf_record,
)


def leaves_of(state: SnapshotState) -> list[dict[str, bytes]]:
    """The leaf of every object, by leaf kind and key, ascending by key."""
    leaves: list[dict[str, bytes]] = [{} for _ in range(LEAF_KINDS)]
    values = leaves[MAP_LEAF]
    blobs = leaves[BLOB_LEAF]
    for key, value in state.maps:
        if isinstance(value, BlobReference):
            content = canonical.encode([value.hash, value.size_bytes, value.media_type])
            blobs[key] = leaf_record(BLOB_LEAF, key, content)
        else:
            content = canonical.encode(value, is_checked=True)
            values[key] = leaf_record(MAP_LEAF, key, content)
    for key, amount in state.counters:
        content = canonical.encode(str(amount))
        leaves[COUNTER_LEAF][key] = leaf_record(COUNTER_LEAF, key, content)
    for key, items in state.lists:
        content = canonical.encode(
            [((item[0], item[1]), item[3]) for item in items], is_checked=True
        )
        leaves[LIST_LEAF][key] = leaf_record(LIST_LEAF, key, content)
    for key, text in state.texts:
        leaves[TEXT_LEAF][key] = leaf_record(TEXT_LEAF, key, canonical.encode(text))
    return leaves
