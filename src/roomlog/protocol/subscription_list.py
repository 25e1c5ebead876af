"""The patterns of a subscription or a state hash, as they arrive in a session."""

from __future__ import annotations

from roomlog.core.patterns import parse_patterns
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.limits import SessionLimits


def accepted_patterns(patterns: list[str], limits: SessionLimits) -> tuple[str, ...]:
    """The patterns ascending, each once; () stands for everything.

    Raises `Reject` (subscription_invalid): too many, one that is too long, or one that is none.
    """
    if len(patterns) > limits.subscription_patterns:
        detail: dict[str, object] = {"patterns": len(patterns)}
        message = f"more than {limits.subscription_patterns} patterns"
        raise Reject(RejectClass.SUBSCRIPTION_INVALID, message, detail)
    for index, pattern in enumerate(patterns):
        if len(pattern.encode()) > limits.pattern_bytes:
            reason = f"longer than {limits.pattern_bytes} bytes"
            detail = {"index": index, "pattern": pattern[: limits.pattern_bytes], "reason": reason}
            raise Reject(RejectClass.SUBSCRIPTION_INVALID, f"pattern {index}: {reason}", detail)
    accepted = parse_patterns(patterns)
    return () if accepted is None else accepted.patterns
