"""The small tables: capabilities, close codes, limits."""

from __future__ import annotations

import pytest

from roomlog.protocol.capabilities import CAPABILITIES, FEATURE_LEVEL, meet, own_offer
from roomlog.protocol.close_codes import BY_CODE, CloseCode, Reaction, reaction_to
from roomlog.protocol.codec import Codec
from roomlog.protocol.limits import DEFAULT_LIMITS, LEAST_FRAME_BYTES, SessionLimits


def test_an_offer_names_only_declared_capabilities_of_this_level() -> None:
    declared = {row.name: row for row in CAPABILITIES}
    assert set(own_offer()) == set(declared)
    assert all(row.introduced_at_level <= FEATURE_LEVEL for row in CAPABILITIES)
    assert len(declared) == len(CAPABILITIES)


def test_two_equal_offers_meet_in_themselves() -> None:
    offer = own_offer()
    assert meet(offer, offer) == offer


def test_numbers_meet_in_the_smaller_and_flags_only_when_both_have_them() -> None:
    ours = own_offer()
    theirs = {"max_pack_nodes": 7, "cursor_resume": False, "codec_msgpack": True}
    assert meet(ours, theirs) == {"max_pack_nodes": 7, "codec_msgpack": True}


@pytest.mark.parametrize("wrong", [0, -1, True, "7", None, 1.5, [], {}])
def test_a_malformed_offer_counts_as_none(wrong: object) -> None:
    assert meet(own_offer(), {"max_pack_nodes": wrong, "cursor_resume": wrong}) in (
        {},
        {"cursor_resume": True},
    )
    assert "max_pack_nodes" not in meet(own_offer(), {"max_pack_nodes": wrong})


def test_t43_unknown_capabilities_of_a_newer_peer_are_left_out() -> None:
    assert meet(own_offer(), {"teleport": True, "max_teleports": 4}) == {}


def test_close_codes_are_one_each_and_found_by_number() -> None:
    assert len(BY_CODE) == len(CloseCode)
    assert all(BY_CODE[each.code] is each for each in CloseCode)
    assert all(each.label and each.when for each in CloseCode)


def test_an_unknown_close_code_backs_off() -> None:
    assert reaction_to(4999) is Reaction.BACK_OFF
    assert reaction_to(CloseCode.RESYNC_REQUIRED.code) is Reaction.RECONNECT


def test_each_codec_has_its_frame_limit() -> None:
    limits = SessionLimits(frame_bytes=1_000_000, frame_json_bytes=2_000_000)
    assert limits.frame_limit(Codec.MSGPACK.subprotocol) == 1_000_000
    assert limits.frame_limit(Codec.JSON.subprotocol) == 2_000_000


def test_the_largest_node_fits_the_least_frame() -> None:
    assert DEFAULT_LIMITS.frame_bytes >= LEAST_FRAME_BYTES
    assert LEAST_FRAME_BYTES > 256 * 1024 + 64 * 1024
