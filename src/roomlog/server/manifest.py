"""What a build is made of, as data: `roomlog version --manifest` and `/version` show the same."""

from __future__ import annotations

import platform
from typing import Any

import msgspec

from roomlog import __version__
from roomlog.core.reject import RejectClass
from roomlog.protocol.capabilities import CAPABILITIES, PROTOCOL_VERSION
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import CLIENT_MESSAGES, SERVER_MESSAGES, Message
from roomlog.server.config import CONFIG_KEYS
from roomlog.server.metrics import METRICS, PREFIX
from roomlog.store.levels import (
    BUILD_COMPAT_VERSION,
    BUILD_FEATURE_LEVEL,
    BUILD_SCHEMA_VERSION,
)


def build_manifest() -> dict[str, Any]:
    """The manifest of this build: JSON values only, in a stable order."""
    return {
        "name": "roomlog",
        "version": __version__,
        "python": platform.python_version(),
        "protocols": [PROTOCOL_VERSION],
        "subprotocols": [codec.subprotocol for codec in Codec],
        "feature_level": BUILD_FEATURE_LEVEL,
        "store": {
            "schema_version": BUILD_SCHEMA_VERSION,
            "compat_version": BUILD_COMPAT_VERSION,
        },
        "capabilities": [
            {
                "name": row.name,
                "kind": row.kind.value,
                "introduced_at_level": row.introduced_at_level,
            }
            for row in CAPABILITIES
        ],
        "messages": {
            "client": {_tag(each): message_shape(each) for each in CLIENT_MESSAGES},
            "server": {_tag(each): message_shape(each) for each in SERVER_MESSAGES},
        },
        "reject_classes": {each.wire: each.kind.value for each in RejectClass},
        "close_codes": {
            str(each.code): {"label": each.label, "reaction": each.reaction.value}
            for each in CloseCode
        },
        "config": {
            key.name: {
                "kind": key.kind.value,
                "default": None if key.is_secret else msgspec.to_builtins(key.default),
                "unit": key.unit,
            }
            for key in CONFIG_KEYS
        },
        "metrics": {
            PREFIX + row.name: {"kind": row.kind, "labels": list(row.labels)} for row in METRICS
        },
    }


def message_shape(message: type[Message]) -> dict[str, dict[str, Any]]:
    """The fields of a message by name on the wire: type, and whether it must be there."""
    shown = {}
    for field in msgspec.structs.fields(message):
        shown[field.encode_name] = {
            "type": type_name(msgspec.inspect.type_info(field.type)),
            "required": field.required,
        }
    return shown


def type_name(info: msgspec.inspect.Type) -> str:
    """A short name of a field's type with its bounds, the same in every build that has it."""
    match info:
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(type_name(each) for each in types)
        case msgspec.inspect.ListType(item_type=item, max_length=most):
            return f"list of {type_name(item)}" + (f" (at most {most})" if most else "")
        case msgspec.inspect.TupleType(item_types=items):
            return "[" + ", ".join(type_name(each) for each in items) + "]"
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return f"map of {type_name(key)} to {type_name(value)}"
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            return "bytes" + _bounds(least, most)
        case msgspec.inspect.StrType(min_length=least, max_length=most):
            return "text" + _bounds(least, most)
        case msgspec.inspect.IntType(ge=least, le=most):
            return "integer" + _bounds(least, most)
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(repr(value) for value in values)
        case msgspec.inspect.StructType(cls=cls):
            fields = msgspec.structs.fields(cls)
            inner = ", ".join(
                f"{each.encode_name}{'' if each.required else '?'}: "
                f"{type_name(msgspec.inspect.type_info(each.type))}"
                for each in fields
            )
            return "{" + inner + "}"
        case msgspec.inspect.NoneType():
            return "null"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.AnyType() | msgspec.inspect.CustomType():
            return "anything"
        case _:
            raise TypeError(f"no name for {info!r}")


def _bounds(least: int | None, most: int | None) -> str:
    if least is None and most is None:
        return ""
    if least == most:
        return f" of {least}"
    return f" {'' if least is None else least}..{'' if most is None else most}"


def _tag(message: type[Message]) -> str:
    return str(message.__struct_config__.tag)
