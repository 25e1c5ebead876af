"""What presence and signals may carry: only what both codecs carry unchanged, and not too much."""

from __future__ import annotations

import math
from typing import Final, final

import msgspec

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.effects import DeliverSignal, ShowPresence
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import Presence, Signal
from roomlog.protocol.refusals import field_reject

Social = Presence | Signal

MOST_DEPTH: Final = 16
"""How deep lists and maps may lie in each other."""
_LEAST_INTEGER: Final = -(2**63)
_GREATEST_INTEGER: Final = 2**64 - 1
_SHOWN_KEY_CHARACTERS: Final = 32
_ENCODE: Final = msgspec.msgpack.Encoder().encode


def social_effect(message: Social, limits: SessionLimits) -> ShowPresence | DeliverSignal:
    """What a message of one participant to others asks for.

    Raises `Reject`: invalid_field, presence_too_large, message_too_large.
    """
    if isinstance(message, Signal):
        check_data(message.data, limits.signal_bytes, RejectClass.MESSAGE_TOO_LARGE)
        return DeliverSignal(message.to.pubkey, message.to.label, message.data, message.ref)
    check_data(message.data, limits.presence_bytes, RejectClass.PRESENCE_TOO_LARGE)
    wanted_ms = limits.presence_ttl_ms if message.ttl_ms is None else message.ttl_ms
    return ShowPresence(message.data, min(wanted_ms, limits.presence_ttl_max_ms))


def check_data(data: object, most_bytes: int, too_large: RejectClass) -> None:
    """Refuse what is not data, or is longer than `most_bytes` as MessagePack.

    Data are null, booleans, integers of 64 bits, finite floats, text, lists and maps with text
    keys, at most 16 deep. The work is bounded by `most_bytes`, whatever was sent.

    Raises `Reject`: invalid_field that names the place, or `too_large`.
    """
    walk = _Walk(most_bytes)
    if not walk.fits(data, 0) or len(_ENCODE(data)) > most_bytes:
        detail: dict[str, object] = {"field": "data", "most_bytes": most_bytes}
        raise Reject(too_large, f"more than {most_bytes} bytes of data", detail)


@final
class _Walk:
    """One look through a value, which stops as soon as it cannot fit."""

    __slots__ = ("_left_bytes", "_path")

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._path: list[str] = []

    def fits(self, value: object, depth: int) -> bool:
        """Whether the value may fit into what is left; Raises `Reject` for what is no data."""
        # Everything takes at least a byte, and text at least one for each character.
        self._left_bytes -= 1
        if isinstance(value, str):
            self._left_bytes -= len(value)
        if self._left_bytes < 0:
            return False
        if value is None or isinstance(value, bool | str):
            return True
        if isinstance(value, int):
            if not _LEAST_INTEGER <= value <= _GREATEST_INTEGER:
                raise self._refused("an integer of more than 64 bits")
            return True
        if isinstance(value, float):
            if not math.isfinite(value):
                raise self._refused("a float that is not finite")
            return True
        if not isinstance(value, list | dict):
            raise self._refused("neither null, boolean, number, text, list nor map")
        if depth == MOST_DEPTH:
            raise self._refused(f"deeper than {MOST_DEPTH}")
        if isinstance(value, list):
            return all(
                self._fits_at(f"[{index}]", element, depth) for index, element in enumerate(value)
            )
        return all(self._fits_entry(key, element, depth) for key, element in value.items())

    def _fits_entry(self, key: object, element: object, depth: int) -> bool:
        if not isinstance(key, str):
            raise self._refused("a map with keys that are not text")
        self._left_bytes -= len(key)
        return self._fits_at(f".{key[:_SHOWN_KEY_CHARACTERS]}", element, depth)

    def _fits_at(self, step: str, element: object, depth: int) -> bool:
        self._path.append(step)
        fits = self.fits(element, depth + 1)
        self._path.pop()
        return fits

    def _refused(self, reason: str) -> Reject:
        return field_reject(f"data{''.join(self._path)}", reason)
