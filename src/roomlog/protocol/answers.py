"""What a server's session says, as frames of its codec."""

from __future__ import annotations

from typing import final

from roomlog.core.reject import Reject
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.effects import Send
from roomlog.protocol.messages import Error, Message


@final
class Answers:
    """Messages and refusals in one codec."""

    __slots__ = ("codec",)

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def send(self, message: Message) -> Send:
        """The message as one frame."""
        return Send(encode(self.codec, message))

    def error(self, reject: Reject, ref: str | None, incident: str | None = None) -> Send:
        """The refusal as one `error`; `incident` is what the log calls a fault of our own."""
        hint = reject.detail.get("retry_after_ms")
        error = Error(
            ref=ref,
            reject_class=reject.reject_class.wire,
            message=reject.message,
            kind=reject.reject_class.kind.value,
            retry_after_ms=hint if isinstance(hint, int) else None,
            detail=reject.detail,
            incident=incident,
        )
        return Send(encode(self.codec, error), reject.reject_class)
