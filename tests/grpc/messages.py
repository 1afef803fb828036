"""Messages of etcd's API by Google's own protobuf, made of the fields that etcd's `rpc.proto` has.

Why it exists: what judges our codec shares nothing with it, neither code nor the table of fields.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELDS = Path(__file__).parent.parent / "etcd" / "rpc_fields.txt"
"""Of etcd 3.6.8: message, number, name, type, `repeated`, and the group of alternatives that it belongs to."""

_PLAIN = {"bytes": 12, "string": 9, "int64": 3, "uint64": 4, "bool": 8, "uint32": 13, "int32": 5}
_VALUES = {
    "SortOrder": 3,
    "SortTarget": 5,
    "CompareResult": 4,
    "CompareTarget": 5,
    "AlarmAction": 3,
    "AlarmType": 3,
    "FilterType": 2,
    "DowngradeAction": 3,
    "EventType": 2,
    "ServingStatus": 4,
    "PermissionType": 3,
}
_HEALTH = ("HealthCheckRequest 1 service string", "HealthCheckResponse 1 status ServingStatus")


_EMPTY = (
    *("StatusRequest", "DefragmentRequest", "HashRequest", "SnapshotRequest", "AuthStatusRequest"),
    *("WatchProgressRequest", "LeaseLeasesRequest", "AuthEnableRequest", "AuthDisableRequest"),
    *("AuthUserListRequest", "AuthRoleListRequest"),
)


def facts() -> Iterator[list[str]]:
    """The lines of the file, and gRPC's own health service."""
    for line in (*FIELDS.read_text().splitlines(), *_HEALTH):
        yield line.split()


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="t", syntax="proto3")
    for name, count in _VALUES.items():
        values = [descriptor_pb2.EnumValueDescriptorProto(name=f"{name}_{at}", number=at) for at in range(count)]
        file.enum_type.append(descriptor_pb2.EnumDescriptorProto(name=name, value=values))
    rows = list(facts())
    messages = {name: descriptor_pb2.DescriptorProto(name=name) for name, *_ in rows}
    for name in _EMPTY:
        messages.setdefault(name, descriptor_pb2.DescriptorProto(name=name))
    for message, number, name, kind, *more in rows:
        if kind not in _PLAIN and kind not in _VALUES and kind not in messages:
            continue  # of a service that is not here
        field = messages[message].field.add(name=name, number=int(number), json_name=name)
        field.label = 3 if "repeated" in more else 1
        if kind in _PLAIN:
            field.type = _PLAIN[kind]
        else:
            field.type, field.type_name = 14 if kind in _VALUES else 11, f".t.{kind}"
        groups = [one for one in more if one != "repeated"]
        if groups:
            known = [one.name for one in messages[message].oneof_decl]
            if groups[0] not in known:
                messages[message].oneof_decl.add(name=groups[0])
                known.append(groups[0])
            field.oneof_index = known.index(groups[0])
    file.message_type.extend(messages.values())
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"t.{name}"))


def new(kind: str, /, **fields: Any) -> Any:
    """A message."""
    return message(kind)(**fields)
