"""`/openapi.json`: every route of a node, what it takes and what it answers, as data.

Why it exists: programs and people find the API by it, and a fuzzer holds the node to it; a test compares it with the
routes that are registered, both ways. It must not be made from the handlers: then it could not contradict them.
"""

from functools import cache

from aiohttp import web

from node import __version__
from node.access.table import need_of_route
from node.api.answers import JSON_HEADERS, json_body
from node.api.etcd.routes import UNSUPPORTED
from node.api.inputs import SESSION_HEADERS
from node.api.openapi_schemas import SCHEMAS, TEXT, Schema, ref
from node.api.openapi_streams import STREAM_SCHEMAS, TRACE_EVENTS, WATCH_EVENTS, event_stream, lines_of

Operation = dict[str, object]
Parameters = tuple[Schema, ...]

_OCTETS: Schema = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

_ERRORS = {
    400: "malformed; `field` names what is wrong",
    403: "another site, a foreign Host, or faults that are not enabled",
    404: "there is nothing of that name",
    408: "the body did not arrive in time",
    409: "refused; nothing was done. Of a write in a session: its number is answered already, or was another write's",
    410: "compacted: that revision cannot be read any more; or there is no such session (any more): nothing was done",
    412: "the key is at another revision",
    413: "too large",
    414: "the URL is longer than 64 KiB",
    415: "a value comes as it is, without Content-Encoding",
    417: "Expect can only be 100-continue",
    503: "provably nothing happened; try again",
    504: "nobody knows whether it happened; or (`done-untold`) it was done, but its answer cannot be given",
    507: "the store or the log is full; nothing happened",
}

_ETCD_ERRORS = {
    400: "code 3 or 11",
    403: "another site, or a foreign Host (not in etcd's form)",
    404: "code 5",
    408: "code 1: the body did not arrive in time; nothing was done",
    413: "too large",
    417: "Expect can only be 100-continue",
    429: "code 8: the store or the log is full, or the message is too long; nothing happened",
    500: "code 2: the only voter cannot be removed",
    501: "code 12",
    503: "code 14: provably never proposed",
    504: "code 4: nobody knows whether it was done; or it was, but its answer cannot be given",
}


def _json(name: str) -> Schema:
    return {"application/json": {"schema": ref(name)}}


def _parameter(name: str, schema: Schema, where: str = "query", description: str = "") -> Schema:
    found: Schema = {"name": name, "in": where, "schema": schema, "required": where == "path"}
    return {**found, "description": description} if description else found


def _number(name: str, low: int = 0, high: int = 2**63 - 1) -> Schema:
    return _parameter(name, {"type": "integer", "minimum": low, "maximum": high})


_KEY = _parameter("key", {"type": "string", "minLength": 1}, "path", "any bytes, percent-encoded")
_CONSISTENCY = _parameter("consistency", {"enum": ["linearizable", "stale"]})
_TIMEOUT = _number("timeout_ms", 1, 60_000)
_CONDITIONS = (_parameter("If-Match", TEXT, "header"), _parameter("If-None-Match", {"enum": ["*"]}, "header"))
_POSITIVE: Schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_SESSION_VALUES: tuple[Schema, ...] = (
    {"type": "string", "pattern": "^[0-9A-Za-z]{1,8}-[1-9][0-9]{0,17}$"},
    _POSITIVE,
    _POSITIVE,
)
_SESSION = tuple(
    _parameter(name, schema, "header", text)
    for name, schema, text in zip(
        SESSION_HEADERS,
        _SESSION_VALUES,
        (
            "what `POST /sessions` gave; with Raft-Sequence: the write is done once, however often it is sent",
            "the number of this write in the session, counted upwards; the same each time that it is sent",
            "the client waits no more for any write up to this number, which is below Raft-Sequence",
        ),
        strict=True,
    )
)


def _operation(
    summary: str,
    answers: dict[int, Schema | None],
    *,
    errors: tuple[int, ...] = (),
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Operation:
    """`answers`: content by status, None for an empty one. 400, 403 and 417 are possible everywhere."""
    responses: dict[str, Schema] = {
        str(status): {"description": "as asked", **({"content": content} if content else {})}
        for status, content in answers.items()
    }
    for status in sorted({400, 403, 417, *errors}):
        responses.setdefault(str(status), {"description": _ERRORS[status], "content": _json("Error")})
    operation: Operation = {"summary": summary, "responses": responses}
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = {"content": body}
    return operation


def _look(summary: str, schema: str, *parameters: Schema, also: tuple[int, ...] = ()) -> Operation:
    """A GET that only looks. `also`: further statuses with the same answer."""
    answers: dict[int, Schema | None] = {200: _json(schema), **{status: _json(schema) for status in also}}
    return _operation(summary, answers, parameters=parameters)


def _etcd(
    summary: str, request: str, response: str, writes: bool = False, lines: bool = False, also: Parameters = ()
) -> Operation:
    """`lines`: it answers as often as there is something to say."""
    description = lines_of(response) if lines else "done"
    responses: dict[str, Schema] = {"200": {"description": description, "content": _json(response)}}
    for status, text in _ETCD_ERRORS.items():
        own = {"anyOf": [ref("EtcdError"), ref("Error")]}
        responses[str(status)] = {"description": text, "content": {"application/json": {"schema": own}}}
    parameters = (*also, *(_SESSION if writes else ()))
    taken = {"parameters": list(parameters)} if parameters else {}
    return {"summary": summary, **taken, "requestBody": {"content": _json(request)}, "responses": responses}


def _auth(summary: str, message: str) -> Operation:
    return _etcd(summary, f"{message}Request", f"{message}Response")


_MEMBER_CHANGES = {
    "promote": "give a learner a vote",
    "remove": "take a member out",
    "update": "another peer URL of a member",
}


_LEASES = {
    "grant": _etcd("begin a lease", "LeaseGrantRequest", "LeaseGrantResponse", writes=True),
    "revoke": _etcd("end a lease, with its keys", "LeaseRevokeRequest", "LeaseRevokeResponse", writes=True),
    "keepalive": _etcd("its time anew: a line for each message", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse"),
    "timetolive": _etcd("what is left of it", "LeaseTimeToLiveRequest", "LeaseTimeToLiveResponse"),
    "leases": _etcd("all leases", "LeaseLeasesRequest", "LeaseLeasesResponse"),
}
_TURNS = {
    "lock/lock": _etcd("wait until the lock is held", "LockRequest", "LockResponse"),
    "lock/unlock": _etcd("let it go", "UnlockRequest", "UnlockResponse"),
    "election/campaign": _etcd("wait until it leads", "CampaignRequest", "CampaignResponse"),
    "election/proclaim": _etcd("another value of who leads", "ProclaimRequest", "ProclaimResponse"),
    "election/resign": _etcd("lead no more", "ResignRequest", "ResignResponse"),
    "election/leader": _etcd("who leads", "LeaderRequest", "LeaderResponse"),
    "election/observe": _etcd("who leads, a line for each news", "LeaderRequest", "ObserveResponse", lines=True),
}
_AUTH = {
    "enable": _auth("everybody must say who they are", "AuthEnable"),
    "disable": _auth("nobody need say it any more", "AuthDisable"),
    "status": _auth("whether they must", "AuthStatus"),
    "authenticate": _auth("a token for a name and a password", "Authenticate"),
    "user/add": _auth("a new user", "AuthUserAdd"),
    "user/get": _auth("the roles of a user", "AuthUserGet"),
    "user/list": _auth("all users", "AuthUserList"),
    "user/delete": _auth("a user goes", "AuthUserDelete"),
    "user/changepw": _auth("another password", "AuthUserChangePassword"),
    "user/grant": _auth("a user gets a role", "AuthUserGrantRole"),
    "user/revoke": _auth("a user loses a role", "AuthUserRevokeRole"),
    "role/add": _auth("a new role", "AuthRoleAdd"),
    "role/get": _auth("the permissions of a role", "AuthRoleGet"),
    "role/list": _auth("all roles", "AuthRoleList"),
    "role/delete": _auth("a role goes", "AuthRoleDelete"),
    "role/grant": _auth("a role gets a permission", "AuthRoleGrantPermission"),
    "role/revoke": _auth("a role loses a permission", "AuthRoleRevokePermission"),
}
_OLD_LEASE_PATHS = ("revoke", "timetolive", "leases")


def _change_of_member(verb: str, says: str) -> Operation:
    return _etcd(says, f"Member{verb.title()}Request", "MemberListResponse")


def _unsupported(path: str) -> Operation:
    responses = {
        "501": {"description": "code 12", "content": _json("EtcdError")},
        **{str(s): {"description": _ERRORS[s], "content": _json("Error")} for s in (400, 403, 417)},
        "503": {"description": "code 14", "content": _json("EtcdError")},
    }
    return {"summary": f"etcd's {path}: not supported", "responses": responses}


_READ_ERRORS = (404, 410, 414, 503)
_WRITE_ERRORS = (404, 408, 409, 410, 412, 413, 414, 415, 503, 504, 507)
_LIST = (
    _parameter("prefix", TEXT),
    _parameter("from", TEXT),
    _number("limit", 1, 1000),
    _number("revision"),
    _CONSISTENCY,
    _TIMEOUT,
)
_WATCH = (
    _number("watch", 0, 1),
    _parameter("Last-Event-ID", TEXT, "header", "of a watch: the revision up to which all was heard"),
)
_HAS_LEADER = _parameter(
    "Grpc-Metadata-hasleader", TEXT, "header", "`true`: refuse, or end, where no leader is known for too long"
)
_ARGUMENTS: Schema = {"application/json": {"schema": {"type": "object"}}}

_FORM: Schema = {
    "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"secret": TEXT, "user": TEXT}}}
}

_KV: dict[str, dict[str, Operation]] = {
    "/kv": {"get": _operation("list keys", {200: _json("KeyList")}, errors=_READ_ERRORS, parameters=_LIST)},
    "/kv/": {
        "get": _operation(
            "list keys; with `watch=1` their changes, from now on or from `revision` on, as server-sent events: "
            "`watching`, `put`, `delete`; before the end `compacted` or, unless `consistency=stale`, `no-leader`",
            {200: {**_json("KeyList"), **event_stream(WATCH_EVENTS)}},
            errors=_READ_ERRORS,
            parameters=(*_LIST, *_WATCH),
        )
    },
}

PATHS: dict[str, dict[str, Operation]] = {
    "/": {"get": _look("the page for browsers, these routes for programs", "Index")},
    "/static/{path}": {
        "get": _operation(
            "a file of the page",
            {200: {"*/*": {"schema": TEXT}}, 304: None},
            errors=(404,),
            parameters=(_parameter("path", TEXT, "path"),),
        )
    },
    "/source.json": {"get": _look("whose page this is", "Source")},
    "/csp-report": {
        "get": _look("violations of the page's policy so far", "Reports"),
        "post": _operation("report one", {204: None}, errors=(413,), body={"application/json": {"schema": {}}}),
    },
    "/login": {
        "post": _operation(
            "the page's login: a token, or a user's for a password, becomes a cookie",
            {303: None},
            errors=(413,),
            body=_FORM,
        )
    },
    "/logout": {"post": _operation("the cookie goes", {303: None})},
    "/openapi.json": {"get": _operation("this description", {200: {"application/json": {"schema": {}}}})},
    **_KV,
    "/kv/{key}": {
        "get": _operation(
            "read a value; its revision is the ETag",
            {200: _OCTETS},
            errors=_READ_ERRORS,
            parameters=(_KEY, _number("revision"), _CONSISTENCY, _TIMEOUT),
        ),
        "put": _operation(
            "write the body",
            {200: _json("Written")},
            errors=_WRITE_ERRORS,
            parameters=(_KEY, _number("lease"), _TIMEOUT, *_CONDITIONS, *_SESSION),
            body=_OCTETS,
        ),
        "delete": _operation(
            "remove a key",
            {200: _json("Written")},
            errors=_WRITE_ERRORS,
            parameters=(_KEY, _TIMEOUT, *_CONDITIONS, *_SESSION),
        ),
    },
    "/sessions": {
        "post": _operation(
            "register a session, in which a write that comes twice is done once",
            {200: _json("Registered")},
            errors=(503, 504, 507),
            parameters=(_number("idle_ms", 1_000, 86_400_000), _TIMEOUT),
        )
    },
    "/status": {"get": _look("this node's own view", "Status")},
    "/members": {"get": _look("who belongs, and who asks to", "Members")},
    "/cluster": {"get": _look("every node as seen from here", "Cluster")},
    "/backup": {"get": _operation("the whole state as one file", {200: _OCTETS}, errors=(503,))},
    "/log": {
        "get": _look(
            "entries of the log", "Log", _number("from", 1), _number("limit", 1, 1000), _number("last", 1, 1000)
        )
    },
    "/stats": {"get": _look("counts since this process started", "Stats")},
    "/livez": {"get": _look("should this process be restarted?", "Verdict", also=(503,))},
    "/readyz": {"get": _look("should this node get traffic?", "Verdict", also=(503,))},
    "/startupz": {"get": _look("is the start over?", "Verdict", also=(503,))},
    "/metrics": {"get": _operation("Prometheus", {200: {"text/plain": {"schema": TEXT}}})},
    "/events": {
        "get": _operation(
            "the live trace",
            {200: event_stream(TRACE_EVENTS)},
            errors=(503,),
            parameters=(
                _number("messages", 0, 1),
                _number("rate", 1, 1000),
                _parameter("Last-Event-ID", TEXT, "header"),
            ),
        )
    },
    "/commands": {"get": _look("what a node can be told to do", "Commands")},
    "/commands/{name}": {
        "post": _operation(
            "carry a command out, here or on another node",
            {200: _json("CommandDone")},
            errors=(404, 408, 409, 413, 503, 504),
            parameters=(_parameter("name", TEXT, "path"), _parameter("node", TEXT), _TIMEOUT),
            body=_ARGUMENTS,
        )
    },
    "/version": {"get": _look("as etcd says it", "Version")},
    "/health": {"get": _look("as etcd says it", "Health", _parameter("serializable", TEXT), also=(503,))},
    "/v3/kv/range": {"post": _etcd("read keys", "RangeRequest", "RangeResponse")},
    "/v3/kv/put": {"post": _etcd("write a key", "PutRequest", "PutResponse", writes=True)},
    "/v3/kv/deleterange": {"post": _etcd("delete keys", "DeleteRangeRequest", "DeleteRangeResponse", writes=True)},
    "/v3/kv/txn": {"post": _etcd("compare, then do one of two", "TxnRequest", "TxnResponse", writes=True)},
    "/v3/kv/compaction": {
        "post": _etcd("forget old revisions", "CompactionRequest", "CompactionResponse", writes=True)
    },
    **{f"/v3/lease/{verb}": {"post": operation} for verb, operation in _LEASES.items()},
    **{f"/v3/kv/lease/{verb}": {"post": _LEASES[verb]} for verb in _OLD_LEASE_PATHS},
    **{f"/v3/{path}": {"post": operation} for path, operation in _TURNS.items()},
    **{f"/v3/auth/{path}": {"post": operation} for path, operation in _AUTH.items()},
    "/v3/watch": {
        "post": _etcd(
            "follow changes: a line for each response",
            "WatchRequest",
            "WatchResponse",
            lines=True,
            also=(_HAS_LEADER,),
        )
    },
    "/v3/maintenance/status": {"post": _etcd("this member", "StatusRequest", "StatusResponse")},
    "/v3/maintenance/alarm": {"post": _etcd("is the store full?", "AlarmRequest", "AlarmResponse")},
    "/v3/maintenance/defragment": {"post": _etcd("nothing to do", "DefragmentRequest", "DefragmentResponse")},
    "/v3/maintenance/hash": {"post": _etcd("a hash of the store", "HashRequest", "HashResponse")},
    "/v3/maintenance/hashkv": {"post": _etcd("the same at a revision", "HashKVRequest", "HashKVResponse")},
    "/v3/maintenance/snapshot": {"post": _etcd("the whole state, in pieces", "SnapshotRequest", "SnapshotResponse")},
    "/v3/maintenance/transfer-leadership": {
        "post": _etcd("hand the lead over", "MoveLeaderRequest", "MoveLeaderResponse")
    },
    "/v3/cluster/member/list": {"post": _etcd("all members", "MemberListRequest", "MemberListResponse")},
    "/v3/cluster/member/add": {"post": _etcd("let a node in that asks", "MemberAddRequest", "MemberAddResponse")},
    **{f"/v3/cluster/member/{verb}": {"post": _change_of_member(verb, says)} for verb, says in _MEMBER_CHANGES.items()},
    **{f"/v3/{path}": {"post": _unsupported(path)} for path in UNSUPPORTED},
}


def document() -> dict[str, object]:
    """The whole description, OpenAPI 3.1."""
    paths = {path: _with_needs(path, operations) for path, operations in PATHS.items()}
    info = {"title": "raft-node", "version": __version__, "description": "One node of a Raft cluster."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": {**SCHEMAS, **STREAM_SCHEMAS}}}


def _with_needs(path: str, operations: dict[str, Operation]) -> dict[str, Operation]:
    """Each with the role that it needs where tokens are demanded; `open`: none."""
    registered = "/kv/{key}" if path == "/kv/" else path

    def need(method: str) -> str:
        return need_of_route(method.upper(), registered) or "open"

    return {method: {**operation, "x-needs": need(method)} for method, operation in operations.items()}


@cache
def _body() -> bytes:
    """92 kB that never change: made once."""
    return json_body(document())


async def openapi(_request: web.Request) -> web.Response:
    """The handler."""
    return web.Response(body=_body(), headers=JSON_HEADERS)
