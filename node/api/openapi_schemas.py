"""The shapes of this node's answers, as JSON Schema: what `openapi.py` refers to.

Why it exists: a program that reads `/openapi.json` learns what it gets, and a fuzzer holds the node to it. Only facts:
an answer may gain fields, but has those that are required here.
"""

from node.api.etcd.schema import ENUMS, MESSAGES, Field
from node.observe.alarms import ALARMS

Schema = dict[str, object]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {"type": "number", "description": "milliseconds"}
INT64: Schema = {"type": "string", "pattern": "^-?[0-9]+$", "description": "an int64 as text"}
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


def either(*schemas: Schema) -> Schema:
    """One of them."""
    return {"anyOf": list(schemas)}


NULL: Schema = {"type": "null"}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def items(of: Schema) -> Schema:
    """An array."""
    return {"type": "array", "items": of}


def table(of: Schema) -> Schema:
    """An object with names that are not known beforehand."""
    return {"type": "object", "additionalProperties": of}


def record(required: dict[str, Schema] | None = None, **optional: Schema) -> Schema:
    """An object that has all of `required`, and may have the others."""
    return {"type": "object", "required": sorted(required or {}), "properties": {**(required or {}), **optional}}


def _request_field(field: Field) -> Schema:
    number: Schema = either({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, INT64)
    positive: Schema = either({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, INT64)
    kinds: dict[str, Schema] = {"bytes": BASE64, "string": TEXT, "bool": FLAG, "int64": number, "uint64": positive}
    if field.type in kinds:
        schema = kinds[field.type]
    elif field.type in ENUMS:
        schema = either({"type": "string", "enum": list(ENUMS[field.type])}, {"type": "integer"})
    else:
        schema = ref(field.type)
    return items(schema) if field.repeated else schema


_HEADER = record({"member_id": INT64, "raft_term": INT64}, cluster_id=INT64, revision=INT64)
_PART_HEADER = record({}, revision=INT64)
_FAULT = record({"kind": TEXT, "peer": TEXT, "direction": TEXT, "expires_in_ms": DURATION})
_MEMBER = record({"name": TEXT, "incarnation": TEXT})
_ARGUMENT = record({"name": TEXT, "type": TEXT, "required": FLAG, "default": {}, "help": TEXT})


def _operations() -> dict[str, Schema]:
    counted = ("commit", "applied", "durable", "first_index", "last_index", "last_term", "log_bytes", "log_limit_bytes")
    texts = ("name", "incarnation", "cluster_id", "vote", "leader", "waiting_for", "boot", "version", "client_url")
    held = ("revision", "keys", "bytes", "quota_bytes", "leases", "watches", "watch_streams")
    roles: Schema = {"enum": ["initial", "follower", "pre-candidate", "candidate", "leader"]}
    status = record(
        {
            **dict.fromkeys(("term", *counted), COUNT),
            **dict.fromkeys((*texts, "fatal"), TEXT),
            "role": roles,
            "deadline_in_ms": either(DURATION, NULL),
            "uptime_ms": DURATION,
            "time_us": COUNT,
            "leaving": FLAG,
            "removed": FLAG,
            "voters": items(_MEMBER),
            "learners": items(_MEMBER),
            "peers": items(record({"name": TEXT, "last_contact_ms": either(DURATION, NULL), "link_up": FLAG})),
            "faults": items(_FAULT),
            "snapshot": record({"index": COUNT, "bytes": COUNT, "taking": FLAG, "receiving": FLAG, "restoring": FLAG}),
            "store": either(record(dict.fromkeys(held, COUNT)), NULL),
            "alarms": items(record({"alarm": {"enum": [alarm.name for alarm in ALARMS]}, "message": TEXT})),
        }
    )
    node: dict[str, Schema] = {
        "name": TEXT,
        "state": {"enum": ["reachable", "unknown"]},
        "age_ms": either(DURATION, NULL),
        "status": either(ref("Status"), NULL),
    }
    numbers = ("index", "term", "size_bytes", "session", "sequence")
    entry = record({**dict.fromkeys(numbers, COUNT), "kind": TEXT, "checksum": TEXT, "summary": TEXT})
    latency = record({"recent": items(record()), "p50": {}, "p99": {}, "count": COUNT})
    traffic = ("messages_sent", "messages_received", "bytes_sent", "bytes_received")
    command = record(
        {"name": TEXT, "summary": TEXT, "arguments": items(_ARGUMENT), "changes": FLAG, "needs_faults": FLAG}
    )
    reached_by_itself = {"incarnation": TEXT, "address": TEXT, "client_url": TEXT}
    reached = {"name": TEXT, **reached_by_itself}
    row = record(
        {
            **reached,
            "leader": FLAG,
            "last_contact_ms": either(DURATION, NULL),
            "match_index": either(COUNT, NULL),
            "lag_entries": either(COUNT, NULL),
        }
    )
    return {
        "Members": record(
            {
                **dict.fromkeys(("node", "cluster_id", "leader"), TEXT),
                "own": record(reached_by_itself),
                **dict.fromkeys(("changing", "removed"), FLAG),
                "voters": items(row),
                "learners": items(row),
                "applicants": items(record({**reached, "replaces": TEXT, "age_ms": DURATION})),
            }
        ),
        "Error": record({"error": TEXT, "message": TEXT}, field=TEXT),
        "Index": record({"routes": table(TEXT)}),
        "Source": record({"kind": {"enum": ["node", "monitor"]}}, name=TEXT),
        "Reports": record({"reports": COUNT}),
        "Status": status,
        "Cluster": record({"node": TEXT, "cluster_id": TEXT, "nodes": items(record(node))}),
        "Log": record(
            {
                **dict.fromkeys(("term", "first_index", "last_index", "commit", "applied", "durable"), COUNT),
                "role": roles,
                "match": table(COUNT),
                "entries": items(entry),
            }
        ),
        "Verdict": record({"ok": FLAG, "reason": TEXT}),
        "Stats": record(
            {
                "elections": record({"started": COUNT, "won": COUNT, "lost": COUNT}),
                "transitions": table(COUNT),
                "votes": record({"granted": COUNT, "refused": COUNT}),
                "heartbeats": record({"sent": COUNT, "received": COUNT}),
                "peers": items(record({"name": TEXT, **dict.fromkeys(traffic, COUNT)})),
                "commit_latency_ms": latency,
                "faults": items(_FAULT),
                "frames_refused": table(COUNT),
            }
        ),
        "Commands": record({"enabled_faults": FLAG, "commands": items(command)}),
        "CommandDone": record(
            {"ok": {"const": True}, "command": TEXT, "node": TEXT, "message": TEXT, "data": record()}
        ),
        "KeyList": record(
            {
                "revision": COUNT,
                "count": COUNT,
                "more": FLAG,
                "next": either(TEXT, NULL),
                "keys": items(
                    record(
                        {
                            "key": either(TEXT, NULL),
                            "key_base64": BASE64,
                            "value_bytes": COUNT,
                            "mod_revision": COUNT,
                            "create_revision": COUNT,
                            "version": COUNT,
                        }
                    )
                ),
            }
        ),
        "Registered": record({"session": TEXT, "idle_ms": COUNT}),
        "Written": record({"revision": COUNT, "key": either(TEXT, NULL), "key_base64": BASE64}, deleted=COUNT),
    }


_AUTH_DONE = (
    *("AuthEnable", "AuthDisable", "AuthUserAdd", "AuthUserDelete", "AuthUserChangePassword", "AuthUserGrantRole"),
    *("AuthUserRevokeRole", "AuthRoleAdd", "AuthRoleDelete", "AuthRoleGrantPermission", "AuthRoleRevokePermission"),
)
"""What is answered with a header alone."""


def _etcd() -> dict[str, Schema]:
    kv = record(
        {"key": BASE64, "create_revision": INT64, "mod_revision": INT64, "version": INT64}, value=BASE64, lease=INT64
    )
    kvs = items(ref("EtcdKeyValue"))
    range_: dict[str, Schema] = {"kvs": kvs, "more": {"const": True}, "count": INT64}
    delete: dict[str, Schema] = {"deleted": INT64, "prev_kvs": kvs}
    put: dict[str, Schema] = {"prev_kv": ref("EtcdKeyValue")}
    txn: dict[str, Schema] = {"succeeded": {"const": True}, "responses": items(ref("EtcdResponse"))}
    event = record({"kv": record({"key": BASE64, "mod_revision": INT64})}, type=TEXT, prev_kv=ref("EtcdKeyValue"))
    watched = record(
        {"header": _HEADER},
        **dict.fromkeys(("watch_id", "compact_revision"), INT64),
        **dict.fromkeys(("created", "canceled", "fragment"), FLAG),
        cancel_reason=TEXT,
        events=items(event),
    )
    part = {
        "response_range": record({"header": _PART_HEADER}, **range_),
        "response_put": record({"header": _PART_HEADER}, **put),
        "response_delete_range": record({"header": _PART_HEADER}, **delete),
        "response_txn": record({"header": _PART_HEADER}, **txn),
    }
    permission = record({"key": BASE64}, range_end=BASE64, permType={"enum": ["WRITE", "READWRITE"]})
    member = record({"ID": INT64, "name": TEXT}, peerURLs=items(TEXT), clientURLs=items(TEXT), isLearner=FLAG)
    numbers: dict[str, Schema] = dict.fromkeys(
        ("dbSize", "raftIndex", "raftTerm", "raftAppliedIndex", "dbSizeQuota"), INT64
    )
    requests = {
        message: record(
            {}, **{name: _request_field(field) for field in fields for name in {field.name, field.json_name}}
        )
        for message, fields in MESSAGES.items()
    }
    return {
        **requests,
        "EtcdError": record({"code": {"type": "integer", "minimum": 1, "maximum": 16}, "message": TEXT}),
        "EtcdKeyValue": kv,
        "EtcdResponse": {**record({}, **part), "minProperties": 1, "maxProperties": 1},
        "RangeResponse": record({"header": _HEADER}, **range_),
        "PutResponse": record({"header": _HEADER}, **put),
        "DeleteRangeResponse": record({"header": _HEADER}, **delete),
        "TxnResponse": record({"header": _HEADER}, **txn),
        "CompactionResponse": record({"header": _HEADER}),
        "LeaseGrantResponse": record({"header": _HEADER, "ID": INT64, "TTL": INT64}),
        "LeaseRevokeResponse": record({"header": _HEADER}),
        "LeaseKeepAliveResponse": record({}, result=record({"header": _HEADER}, ID=INT64, TTL=INT64), error=record()),
        "LeaseTimeToLiveResponse": record(
            {"header": _HEADER}, ID=INT64, TTL=INT64, grantedTTL=INT64, keys=items(BASE64)
        ),
        "LeaseLeasesResponse": record({"header": _HEADER}, leases=items(record({"ID": INT64}))),
        "LockResponse": record({"header": _HEADER, "key": BASE64}),
        "UnlockResponse": record({"header": _HEADER}),
        "CampaignResponse": record(
            {"header": _HEADER, "leader": record({"key": BASE64, "rev": INT64, "lease": INT64}, name=BASE64)}
        ),
        "ProclaimResponse": record({"header": _HEADER}),
        "ResignResponse": record({"header": _HEADER}),
        "LeaderResponse": record({"header": _HEADER, "kv": ref("EtcdKeyValue")}),
        "ObserveResponse": either(
            record({"result": ref("LeaderResponse")}), record({"error": record({"message": TEXT}, code=COUNT)})
        ),
        "AlarmResponse": record({"header": _HEADER}, alarms=items(record({"memberID": INT64, "alarm": TEXT}))),
        "DefragmentResponse": record(),
        "HashResponse": record({"header": _HEADER}, hash=COUNT),
        "HashKVResponse": record({"header": _HEADER}, hash=COUNT, compact_revision=INT64, hash_revision=INT64),
        "SnapshotResponse": record({"result": record({"version": TEXT}, remaining_bytes=INT64, blob=BASE64)}),
        "MoveLeaderResponse": record(),
        "WatchResponse": either(record({"result": watched}), record({"error": record({"message": TEXT}, code=COUNT)})),
        "StatusResponse": record({"header": _HEADER, "version": TEXT}, leader=INT64, errors=items(TEXT), **numbers),
        **{f"{each}Response": record({"header": _HEADER}) for each in _AUTH_DONE},
        "AuthStatusResponse": record({"header": _HEADER}, enabled=FLAG, authRevision=INT64),
        "AuthenticateResponse": record({"header": _HEADER, "token": TEXT}),
        "AuthUserGetResponse": record({"header": _HEADER}, roles=items(TEXT)),
        "AuthUserListResponse": record({"header": _HEADER}, users=items(TEXT)),
        "AuthRoleGetResponse": record({"header": _HEADER}, perm=items(permission)),
        "AuthRoleListResponse": record({"header": _HEADER}, roles=items(TEXT)),
        "MemberListResponse": record({"header": _HEADER}, members=items(member)),
        "MemberAddResponse": record({"header": _HEADER}, member=member, members=items(member)),
        "Version": record({"etcdserver": TEXT, "etcdcluster": TEXT, "storage": TEXT}),
        "Health": record({"health": {"enum": ["true", "false"]}, "reason": TEXT}),
    }


SCHEMAS: dict[str, Schema] = {**_operations(), **_etcd()}
