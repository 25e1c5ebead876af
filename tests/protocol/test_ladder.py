"""The reconnect ladder against its table, row by row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.ladder import catch_up_of
from roomlog.protocol.messages import Cursor, Hello
from tests.protocol.session_driver import CLIENT_NONCE, EPOCH, Facts

CURSORS = st.one_of(
    st.none(),
    st.builds(
        Cursor,
        epoch=st.sampled_from([EPOCH, b"x" * 16]),
        seq=st.integers(0, 6),
        id=st.integers(0, 6).map(lambda seq: seq.to_bytes(32, "big")),
    ),
)


def by_the_table(hello: Hello, room: Facts, caps: dict[str, object], *, is_subscribed: bool) -> str:
    """Each row's condition, written out; the first that holds is the answer."""
    brought = hello.cursor if "cursor_resume" in caps else None
    matches = (
        brought is not None
        and brought.epoch == room.epoch
        and brought.seq <= room.head_seq
        and (brought.seq == 0 or brought.id == room.id_at(brought.seq))
        and all(0 < room.seq_of(head) <= brought.seq for head in hello.frontier)
    )
    is_head = matches and brought is not None and brought.seq == room.head_seq
    is_ahead_of_nothing = brought is not None and brought.seq > 0
    has_past = hello.cursor is not None or bool(hello.frontier)
    rows = [
        ("none", is_head or (room.head_seq == 0 and not hello.frontier and not matches)),
        ("cursor", matches),
        ("cut", is_ahead_of_nothing and "log_cut" in caps),
        ("walk", bool(hello.frontier)),
        (
            "snapshot",
            not has_past
            and not is_subscribed
            and "snapshot_join" in caps
            and room.snapshot_seq > 0,
        ),
        ("cursor", True),
    ]
    return next(name for name, holds in rows if holds)


@given(
    cursor=CURSORS,
    frontier=st.lists(st.integers(1, 6).map(lambda seq: seq.to_bytes(32, "big")), max_size=2),
    head_seq=st.integers(0, 5),
    snapshot_seq=st.integers(0, 2),
    off=st.sets(st.sampled_from(["cursor_resume", "log_cut", "snapshot_join"])),
    is_subscribed=st.booleans(),
)
def test_every_past_meets_the_first_row_of_the_table_that_fits(
    cursor: Cursor | None,
    frontier: list[bytes],
    head_seq: int,
    snapshot_seq: int,
    off: set[str],
    is_subscribed: bool,
) -> None:
    room = Facts(head_seq)
    room.snapshot_seq = snapshot_seq
    hello = Hello(
        proto=1,
        nonce=CLIENT_NONCE,
        cursor=cursor,
        frontier=frontier,
    )
    caps = {name: value for name, value in own_offer().items() if name not in off}
    assert catch_up_of(hello, room, caps, is_subscribed=is_subscribed) == by_the_table(
        hello, room, caps, is_subscribed=is_subscribed
    )
