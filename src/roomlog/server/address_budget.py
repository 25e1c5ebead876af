"""What one network address may take before anybody has proven who they are.

IPv6 addresses count by their /64, which is what one customer gets.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final, final

from roomlog.protocol.credit import Bucket

ADDRESSES_MAX: Final = 65_536
"""Addresses whose bucket is kept; the one that was longest unused is forgotten first."""
BUCKET_SECONDS: Final = 10
_NETWORK_BITS: Final = 64


def address_group(address: str) -> str:
    """The addresses that share a budget: one of IPv4, a /64 of IPv6; other text is itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = int(parsed) >> _NETWORK_BITS << _NETWORK_BITS
    return f"{ipaddress.IPv6Address(network)}/{_NETWORK_BITS}"


@final
class HandshakeBudget:
    """A bucket for each address group: `per_second` handshakes, ten seconds' worth at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, group: str, now_ms: int) -> int:
        """Count a handshake: 0 when it is within the budget, else how many ms to wait.

        A refused one costs nothing: who waits as told is let in.
        """
        bucket = self._buckets.get(group)
        if bucket is None:
            depth = self._per_second * BUCKET_SECONDS
            bucket = self._buckets[group] = Bucket(depth, self._per_second, now_ms)
            if len(self._buckets) > ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(group)
        if bucket.take(1, now_ms) >= 0:
            return 0
        wait_ms = bucket.wait_ms()
        bucket.take(-1, now_ms)
        return wait_ms
