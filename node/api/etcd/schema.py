"""The messages that etcd's API takes and answers: fields, numbers and types, as in etcd's `rpc.proto`.

Why it exists: decoding of JSON and of protobuf, size limits, the description in `/openapi.json` and what gRPC writes
are made from this one table. It must hold facts only.
"""

from typing import Any, NamedTuple

Message = dict[str, Any]
"""A message that was decoded: its fields by name, those alone that were given; inner ones are dicts and lists."""

ENUMS: dict[str, dict[str, int]] = {
    "SortOrder": {"NONE": 0, "ASCEND": 1, "DESCEND": 2},
    "SortTarget": {"KEY": 0, "VERSION": 1, "CREATE": 2, "MOD": 3, "VALUE": 4},
    "CompareResult": {"EQUAL": 0, "GREATER": 1, "LESS": 2, "NOT_EQUAL": 3},
    "CompareTarget": {"VERSION": 0, "CREATE": 1, "MOD": 2, "VALUE": 3, "LEASE": 4},
    "AlarmAction": {"GET": 0, "ACTIVATE": 1, "DEACTIVATE": 2},
    "FilterType": {"NOPUT": 0, "NODELETE": 1},
    "EventType": {"PUT": 0, "DELETE": 1},
    "AlarmType": {"NONE": 0, "NOSPACE": 1, "CORRUPT": 2},
    "PermissionType": {"READ": 0, "WRITE": 1, "READWRITE": 2},
    "ServingStatus": {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3},
}


class Field(NamedTuple):
    """`type`: bytes, string, int64, uint64, uint32, bool, or the name of an enum or message. `oneof`: the full name of
    its group."""

    name: str
    number: int
    type: str
    repeated: bool = False
    oneof: str = ""

    @property
    def json_name(self) -> str:
        """The camelCase form."""
        head, *rest = self.name.split("_")
        return head + "".join(part.capitalize() for part in rest)


_TARGET = "etcdserverpb.Compare.target_union"
_WATCH = "etcdserverpb.WatchRequest.request_union"
_REQUEST = "etcdserverpb.RequestOp.request"

MESSAGES: dict[str, tuple[Field, ...]] = {
    "RangeRequest": (
        Field("key", 1, "bytes"),
        Field("range_end", 2, "bytes"),
        Field("limit", 3, "int64"),
        Field("revision", 4, "int64"),
        Field("sort_order", 5, "SortOrder"),
        Field("sort_target", 6, "SortTarget"),
        Field("serializable", 7, "bool"),
        Field("keys_only", 8, "bool"),
        Field("count_only", 9, "bool"),
        Field("min_mod_revision", 10, "int64"),
        Field("max_mod_revision", 11, "int64"),
        Field("min_create_revision", 12, "int64"),
        Field("max_create_revision", 13, "int64"),
    ),
    "PutRequest": (
        Field("key", 1, "bytes"),
        Field("value", 2, "bytes"),
        Field("lease", 3, "int64"),
        Field("prev_kv", 4, "bool"),
        Field("ignore_value", 5, "bool"),
        Field("ignore_lease", 6, "bool"),
    ),
    "DeleteRangeRequest": (
        Field("key", 1, "bytes"),
        Field("range_end", 2, "bytes"),
        Field("prev_kv", 3, "bool"),
    ),
    "Compare": (
        Field("result", 1, "CompareResult"),
        Field("target", 2, "CompareTarget"),
        Field("key", 3, "bytes"),
        Field("version", 4, "int64", oneof=_TARGET),
        Field("create_revision", 5, "int64", oneof=_TARGET),
        Field("mod_revision", 6, "int64", oneof=_TARGET),
        Field("value", 7, "bytes", oneof=_TARGET),
        Field("lease", 8, "int64", oneof=_TARGET),
        Field("range_end", 64, "bytes"),
    ),
    "RequestOp": (
        Field("request_range", 1, "RangeRequest", oneof=_REQUEST),
        Field("request_put", 2, "PutRequest", oneof=_REQUEST),
        Field("request_delete_range", 3, "DeleteRangeRequest", oneof=_REQUEST),
        Field("request_txn", 4, "TxnRequest", oneof=_REQUEST),
    ),
    "TxnRequest": (
        Field("compare", 1, "Compare", repeated=True),
        Field("success", 2, "RequestOp", repeated=True),
        Field("failure", 3, "RequestOp", repeated=True),
    ),
    "CompactionRequest": (Field("revision", 1, "int64"), Field("physical", 2, "bool")),
    "LeaseGrantRequest": (Field("TTL", 1, "int64"), Field("ID", 2, "int64")),
    "LeaseRevokeRequest": (Field("ID", 1, "int64"),),
    "LeaseKeepAliveRequest": (Field("ID", 1, "int64"),),
    "LeaseTimeToLiveRequest": (Field("ID", 1, "int64"), Field("keys", 2, "bool")),
    "LeaseLeasesRequest": (),
    "LockRequest": (Field("name", 1, "bytes"), Field("lease", 2, "int64")),
    "UnlockRequest": (Field("key", 1, "bytes"),),
    "LeaderKey": (
        Field("name", 1, "bytes"),
        Field("key", 2, "bytes"),
        Field("rev", 3, "int64"),
        Field("lease", 4, "int64"),
    ),
    "CampaignRequest": (Field("name", 1, "bytes"), Field("lease", 2, "int64"), Field("value", 3, "bytes")),
    "ProclaimRequest": (Field("leader", 1, "LeaderKey"), Field("value", 2, "bytes")),
    "ResignRequest": (Field("leader", 1, "LeaderKey"),),
    "LeaderRequest": (Field("name", 1, "bytes"),),
    "WatchRequest": (
        Field("create_request", 1, "WatchCreateRequest", oneof=_WATCH),
        Field("cancel_request", 2, "WatchCancelRequest", oneof=_WATCH),
        Field("progress_request", 3, "WatchProgressRequest", oneof=_WATCH),
    ),
    "WatchCreateRequest": (
        Field("key", 1, "bytes"),
        Field("range_end", 2, "bytes"),
        Field("start_revision", 3, "int64"),
        Field("progress_notify", 4, "bool"),
        Field("filters", 5, "FilterType", repeated=True),
        Field("prev_kv", 6, "bool"),
        Field("watch_id", 7, "int64"),
        Field("fragment", 8, "bool"),
    ),
    "WatchCancelRequest": (Field("watch_id", 1, "int64"),),
    "WatchProgressRequest": (),
    "AlarmRequest": (
        Field("action", 1, "AlarmAction"),
        Field("memberID", 2, "uint64"),
        Field("alarm", 3, "AlarmType"),
    ),
    "DefragmentRequest": (),
    "HashRequest": (),
    "HashKVRequest": (Field("revision", 1, "int64"),),
    "SnapshotRequest": (),
    "MoveLeaderRequest": (Field("targetID", 1, "uint64"),),
    "StatusRequest": (),
    "MemberListRequest": (Field("linearizable", 1, "bool"),),
    "MemberAddRequest": (Field("peerURLs", 1, "string", repeated=True), Field("isLearner", 2, "bool")),
    "MemberPromoteRequest": (Field("ID", 1, "uint64"),),
    "MemberRemoveRequest": (Field("ID", 1, "uint64"),),
    "MemberUpdateRequest": (Field("ID", 1, "uint64"), Field("peerURLs", 2, "string", repeated=True)),
    "AuthEnableRequest": (),
    "AuthDisableRequest": (),
    "AuthStatusRequest": (),
    "AuthenticateRequest": (Field("name", 1, "string"), Field("password", 2, "string")),
    "UserAddOptions": (Field("no_password", 1, "bool"),),
    "AuthUserAddRequest": (
        Field("name", 1, "string"),
        Field("password", 2, "string"),
        Field("options", 3, "UserAddOptions"),
        Field("hashedPassword", 4, "string"),
    ),
    "AuthUserGetRequest": (Field("name", 1, "string"),),
    "AuthUserListRequest": (),
    "AuthUserDeleteRequest": (Field("name", 1, "string"),),
    "AuthUserChangePasswordRequest": (
        Field("name", 1, "string"),
        Field("password", 2, "string"),
        Field("hashedPassword", 3, "string"),
    ),
    "AuthUserGrantRoleRequest": (Field("user", 1, "string"), Field("role", 2, "string")),
    "AuthUserRevokeRoleRequest": (Field("name", 1, "string"), Field("role", 2, "string")),
    "AuthRoleAddRequest": (Field("name", 1, "string"),),
    "AuthRoleGetRequest": (Field("role", 1, "string"),),
    "AuthRoleListRequest": (),
    "AuthRoleDeleteRequest": (Field("role", 1, "string"),),
    "Permission": (
        Field("permType", 1, "PermissionType"),
        Field("key", 2, "bytes"),
        Field("range_end", 3, "bytes"),
    ),
    "AuthRoleGrantPermissionRequest": (Field("name", 1, "string"), Field("perm", 2, "Permission")),
    "AuthRoleRevokePermissionRequest": (
        Field("role", 1, "string"),
        Field("key", 2, "bytes"),
        Field("range_end", 3, "bytes"),
    ),
}

GRPC_MESSAGES: dict[str, tuple[Field, ...]] = {
    "HealthCheckRequest": (Field("service", 1, "string"),),
}
"""What is asked over gRPC alone; the last one is gRPC's own (`grpc.health.v1`)."""

_RESPONSE = "etcdserverpb.ResponseOp.response"
_HEADER = Field("header", 1, "ResponseHeader")
_AUTH_DONE = (
    *("Enable", "Disable", "UserAdd", "UserDelete", "UserChangePassword", "UserGrantRole", "UserRevokeRole"),
    *("RoleAdd", "RoleDelete", "RoleGrantPermission", "RoleRevokePermission"),
)
"""What says nothing beside its header."""

_MEMBERS = (_HEADER, Field("members", 2, "Member", repeated=True))

ANSWERS: dict[str, tuple[Field, ...]] = {
    "ResponseHeader": (
        Field("cluster_id", 1, "uint64"),
        Field("member_id", 2, "uint64"),
        Field("revision", 3, "int64"),
        Field("raft_term", 4, "uint64"),
    ),
    "KeyValue": (
        Field("key", 1, "bytes"),
        Field("create_revision", 2, "int64"),
        Field("mod_revision", 3, "int64"),
        Field("version", 4, "int64"),
        Field("value", 5, "bytes"),
        Field("lease", 6, "int64"),
    ),
    "RangeResponse": (
        _HEADER,
        Field("kvs", 2, "KeyValue", repeated=True),
        Field("more", 3, "bool"),
        Field("count", 4, "int64"),
    ),
    "PutResponse": (_HEADER, Field("prev_kv", 2, "KeyValue")),
    "DeleteRangeResponse": (_HEADER, Field("deleted", 2, "int64"), Field("prev_kvs", 3, "KeyValue", repeated=True)),
    "ResponseOp": (
        Field("response_range", 1, "RangeResponse", oneof=_RESPONSE),
        Field("response_put", 2, "PutResponse", oneof=_RESPONSE),
        Field("response_delete_range", 3, "DeleteRangeResponse", oneof=_RESPONSE),
        Field("response_txn", 4, "TxnResponse", oneof=_RESPONSE),
    ),
    "TxnResponse": (_HEADER, Field("succeeded", 2, "bool"), Field("responses", 3, "ResponseOp", repeated=True)),
    "CompactionResponse": (_HEADER,),
    "AlarmMember": (Field("memberID", 1, "uint64"), Field("alarm", 2, "AlarmType")),
    "AlarmResponse": (_HEADER, Field("alarms", 2, "AlarmMember", repeated=True)),
    "DowngradeInfo": (Field("enabled", 1, "bool"), Field("targetVersion", 2, "string")),
    "StatusResponse": (
        _HEADER,
        Field("version", 2, "string"),
        Field("dbSize", 3, "int64"),
        Field("leader", 4, "uint64"),
        Field("raftIndex", 5, "uint64"),
        Field("raftTerm", 6, "uint64"),
        Field("raftAppliedIndex", 7, "uint64"),
        Field("errors", 8, "string", repeated=True),
        Field("dbSizeInUse", 9, "int64"),
        Field("isLearner", 10, "bool"),
        Field("storageVersion", 11, "string"),
        Field("dbSizeQuota", 12, "int64"),
        Field("downgradeInfo", 13, "DowngradeInfo"),
    ),
    "DefragmentResponse": (_HEADER,),
    "MoveLeaderResponse": (_HEADER,),
    "HashResponse": (_HEADER, Field("hash", 2, "uint32")),
    "HashKVResponse": (
        _HEADER,
        Field("hash", 2, "uint32"),
        Field("compact_revision", 3, "int64"),
        Field("hash_revision", 4, "int64"),
    ),
    "SnapshotResponse": (
        _HEADER,
        Field("remaining_bytes", 2, "uint64"),
        Field("blob", 3, "bytes"),
        Field("version", 4, "string"),
    ),
    "Member": (
        Field("ID", 1, "uint64"),
        Field("name", 2, "string"),
        Field("peerURLs", 3, "string", repeated=True),
        Field("clientURLs", 4, "string", repeated=True),
        Field("isLearner", 5, "bool"),
    ),
    "MemberListResponse": _MEMBERS,
    "MemberAddResponse": (_HEADER, Field("member", 2, "Member"), Field("members", 3, "Member", repeated=True)),
    "MemberPromoteResponse": _MEMBERS,
    "MemberRemoveResponse": _MEMBERS,
    "MemberUpdateResponse": _MEMBERS,
    "LeaseGrantResponse": (
        _HEADER,
        Field("ID", 2, "int64"),
        Field("TTL", 3, "int64"),
        Field("error", 4, "string"),
    ),
    "LeaseRevokeResponse": (_HEADER,),
    "LeaseKeepAliveResponse": (_HEADER, Field("ID", 2, "int64"), Field("TTL", 3, "int64")),
    "LeaseTimeToLiveResponse": (
        _HEADER,
        Field("ID", 2, "int64"),
        Field("TTL", 3, "int64"),
        Field("grantedTTL", 4, "int64"),
        Field("keys", 5, "bytes", repeated=True),
    ),
    "LeaseStatus": (Field("ID", 1, "int64"),),
    "LeaseLeasesResponse": (_HEADER, Field("leases", 2, "LeaseStatus", repeated=True)),
    "LockResponse": (_HEADER, Field("key", 2, "bytes")),
    "UnlockResponse": (_HEADER,),
    "LeaderKey": MESSAGES["LeaderKey"],
    "CampaignResponse": (_HEADER, Field("leader", 2, "LeaderKey")),
    "ProclaimResponse": (_HEADER,),
    "ResignResponse": (_HEADER,),
    "LeaderResponse": (_HEADER, Field("kv", 2, "KeyValue")),
    "Event": (Field("type", 1, "EventType"), Field("kv", 2, "KeyValue"), Field("prev_kv", 3, "KeyValue")),
    "WatchResponse": (
        _HEADER,
        Field("watch_id", 2, "int64"),
        Field("created", 3, "bool"),
        Field("canceled", 4, "bool"),
        Field("compact_revision", 5, "int64"),
        Field("cancel_reason", 6, "string"),
        Field("fragment", 7, "bool"),
        Field("events", 11, "Event", repeated=True),
    ),
    "AuthStatusResponse": (_HEADER, Field("enabled", 2, "bool"), Field("authRevision", 3, "uint64")),
    "AuthenticateResponse": (_HEADER, Field("token", 2, "string")),
    "AuthUserGetResponse": (_HEADER, Field("roles", 2, "string", repeated=True)),
    "AuthUserListResponse": (_HEADER, Field("users", 2, "string", repeated=True)),
    "Permission": MESSAGES["Permission"],
    "AuthRoleGetResponse": (_HEADER, Field("perm", 2, "Permission", repeated=True)),
    "AuthRoleListResponse": (_HEADER, Field("roles", 2, "string", repeated=True)),
    **{f"Auth{done}Response": (_HEADER,) for done in _AUTH_DONE},
    "HealthCheckResponse": (Field("status", 1, "ServingStatus"),),
}
"""What gRPC answers; JSON writes the same fields. The last one is gRPC's own (`grpc.health.v1`)."""

BY_NAME: dict[str, dict[str, Field]] = {
    message: {name: field for field in fields for name in (field.name, field.json_name)}
    for message, fields in MESSAGES.items()
}
"""Of each message the fields by both their names."""
