"""Users, roles and permissions as clients of etcd meet them: what `etcdctl` is told to do on an empty cluster of one,
and what is asked in JSON on another, with the tokens of two users.

Why it exists: it is the walk over every command of `auth`, `user` and `role`, and over what each of the others says to
whoever may, may not, or does not say who they are.
"""

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.etcd.comparison import Answer, comparable
from tests.etcd.ctl import Step as S

_ROOT, _ANN, _ANN_LATER = "--user=root:rootpw", "--user=ann:annpw", "--user=ann:annpw2"
_BOTH = ("simple", "json")

_MADE = (
    S("auth status", forms=("simple", "json", "fields")),
    S("auth enable"),
    S("user add root:rootpw", forms=("json",)),
    S("user add ann:annpw"),
    S("user add ann:other"),
    S("user add bob --new-user-password=bobpw"),
    S("user add eve --interactive=false", given="evepw\n"),
    S("user add cert --no-password"),
    S("user add ''"),
    S("user add"),
    S("user add a b"),
    S("user list", forms=_BOTH),
    S("user get ann", forms=_BOTH),
    S("user get nobody"),
    S("user get"),
    S("role add r1", forms=("json",)),
    S("role add r1"),
    S("role add ''"),
    S("role add r2"),
    S("role add"),
    S("role list", forms=_BOTH),
    S("role get r1", forms=_BOTH),
    S("role get nothing"),
    S("role get"),
    S("role grant-permission r1 readwrite a c", forms=("json",)),
    S("role grant-permission r1 read k"),
    S("role grant-permission r1 write w"),
    S("role grant-permission r1 readwrite p/ --prefix"),
    S("role grant-permission r1 read x --from-key"),
    S("role grant-permission r1 write k"),
    S("role grant-permission r1 read k l"),
    S("role grant-permission r1 write k"),
    S("role grant-permission r1 read z a"),
    S("role grant-permission nothing read a"),
    S("role grant-permission r1 nonsense a"),
    S("role grant-permission r1"),
    S("role grant-permission r2 read '' --prefix"),
    S("role get r1", forms=_BOTH),
    S("role get r2", forms=_BOTH),
    S("role revoke-permission r1 zz"),
    S("role revoke-permission r1 x --from-key"),
    S("role revoke-permission r1 k l"),
    S("role revoke-permission nothing k"),
    S("role revoke-permission r1"),
    S("role get r1"),
    S("user grant-role ann r1", forms=("json",)),
    S("user grant-role ann r1"),
    S("user grant-role ann nothing"),
    S("user grant-role nobody r1"),
    S("user grant-role ann"),
    S("user get ann --detail"),
    S("user revoke-role ann r2"),
    S("user revoke-role nobody r1"),
    S("user grant-role bob r2"),
    S("role get root"),
    S("user grant-role root root"),
    S("user get root --detail"),
    S("user revoke-role root root"),
    S("role add root"),
    S("role get root", forms=_BOTH),
    S("role delete root"),
    S("auth status"),
    S("auth enable"),  # of itself etcdctl makes the role root, and gives it to the user
)
_WITHOUT_A_USER = tuple(
    S(line)
    for line in (
        *("auth status", "auth enable", "auth disable", "get a", "put a 1", "del a", "user list", "user get ann"),
        *("role list", "role get r1", "user add x:y", "user passwd ann:x", "role add x", "endpoint health"),
        *("endpoint status", "defrag", "member remove 404", "move-leader 404", "snapshot save @FOLDER!/saved"),
        *("get '' --prefix --consistency=s", "endpoint hashkv"),
    )
)
_AS_A_USER = (
    S(f"{_ANN} auth status"),
    S(f"{_ANN} auth disable"),
    *(S(f"{_ANN} put {key} 1") for key in ("a", "b", "c", "k", "w", "p/1", "x")),
    S(f"{_ANN} put b 2 --prev-kv"),
    S(f"{_ANN} put w 2 --prev-kv"),
    *(S(f"{_ANN} get {wanted}") for wanted in ("a", "a c", "a b", "a d", "b\\0", "a --prefix", "'' --prefix", "k")),
    *(S(f"{_ANN} get {wanted}") for wanted in ("w", "p/ --prefix", "p/ --from-key", "x", "a --consistency=s")),
    *(S(f"{_ANN} del {wanted}") for wanted in ("w --prev-kv", "w", "b --prev-kv", "a d --range", "p/ --prefix", "x")),
    S(f"{_ANN} txn", given='version("a") > "0"\n\nput a 2\n\nget a\n\n'),
    S(f"{_ANN} txn", given='version("z") > "0"\n\nput a 2\n\n\n'),
    S(f"{_ANN} txn", given='version("a") > "0"\n\nput a 2\n\nput z 1\n\n'),
    S(f"{_ANN} txn", given="\nget w\n\n\n"),
    S(f"{_ANN} txn", given="\nget a\n\nget a c\n\n"),
    S(f"{_ANN} watch a --rev=1", lines=3),
    S(f"{_ANN} watch a d --rev=1"),
    S(f"{_ANN} watch w"),
    S(f"{_ANN} watch nothing"),
    *(S(f"{_ANN} {line}") for line in ("user list", "user get ann", "user get bob", "role get r1", "role get r2")),
    *(S(f"{_ANN} {line}") for line in ("role list", "user add x:y", "user passwd bob:x", "user delete bob")),
    *(S(f"{_ANN} {line}") for line in ("user grant-role ann root", "user revoke-role bob r2", "role add x")),
    *(S(f"{_ANN} {line}") for line in ("role delete r2", "role grant-permission r1 read z", "auth enable")),
    *(S(f"{_ANN} {line}") for line in ("role revoke-permission r1 a c", "endpoint status", "endpoint health")),
    *(S(f"{_ANN} {line}") for line in ("defrag", "member list", "member remove 404", "move-leader 404")),
    *(
        S(f"{_ANN} {line}")
        for line in ("alarm list", "alarm disarm", "endpoint hashkv", "snapshot save @FOLDER!/saved")
    ),
    S(f"{_ANN} member add n2 --peer-urls=http://127.0.0.1:1"),
    S(f"{_ANN} member update 404 --peer-urls=http://127.0.0.1:1"),
    S(f"{_ANN} lock l -- true"),
    S(f"{_ANN} lock a/l -- echo alone"),
    S(f"{_ANN} elect a/e me", lines=2),
    S(f"{_ANN} elect e me"),
    S(f"{_ANN} lease grant 600", names="@L1"),
    S(f"{_ANN} put a/l 1 --lease=@L1!"),
    S(f"{_ANN} lease timetolive @L1! --keys"),
    S(f"{_ANN} lease keep-alive --once @L1!"),
    S(f"{_ROOT} put z 1 --lease=@L1!"),
    S(f"{_ANN} put a/m 1 --lease=@L1!"),
    S(f"{_ANN} lease timetolive @L1!"),
    S(f"{_ANN} lease timetolive @L1! --keys"),
    S(f"{_ANN} lease revoke @L1!"),
    S(f"{_ANN} lease revoke 404"),
    S(f"{_ROOT} lease revoke @L1!"),
    S("--user=bob:bobpw get '' --prefix --keys-only"),
    S("--user=bob:bobpw put a 1"),
    S("--user=eve:evepw get a"),
)
_PASSWORDS = (
    S("--user=ann:wrong get a"),
    S("--user=ann: get a"),
    S("--user=nobody:wrong get a"),
    S("--user=cert:x get a"),
    S("--user=root:rootpw user passwd ann --interactive=false", given="annpw2\n"),
    S(f"{_ANN} get a"),
    S(f"{_ANN_LATER} get a"),
    S("--user=ann --password=annpw2 get a"),
)
_AS_ROOT = (
    *(S(f"{_ROOT} {line}") for line in ("auth status", "auth enable", "get a", "put anything 1", "user delete root")),
    *(S(f"{_ROOT} {line}") for line in ("user revoke-role root root", "role delete root", "endpoint health", "defrag")),
    *(S(f"{_ROOT} {line}") for line in ("member remove 404", "user add x:y", "user get x", "user delete x")),
    S(f"{_ROOT} compaction 3"),
    S(f"{_ROOT} role revoke-permission r1 a c"),
    S(f"{_ANN_LATER} get a"),
    S(f"{_ROOT} role delete r1", forms=("json",)),
    S(f"{_ROOT} role delete r1"),
    S(f"{_ROOT} user get ann"),
    S(f"{_ROOT} user delete ann", forms=("json",)),
    S(f"{_ROOT} user delete ann"),
    S(f"{_ANN_LATER} get a"),
    S(f"{_ROOT} user list"),
    S(f"{_ROOT} role list"),
    S(f"{_ROOT} user grant-role bob root"),
    S("--user=bob:bobpw put z 1"),
    S("--user=bob:bobpw user revoke-role bob root"),
    S("--user=bob:bobpw put z 1"),
    S(f"{_ROOT} auth disable", forms=("json",)),
    S(f"{_ROOT} get a"),
    S("auth status"),
    S("auth disable"),
    S("user delete root"),
    S("auth enable"),
)

_LATER = "etcd 3.6.9 and later refuse it too: they closed this hole of 3.6.8 (CVE-2026-33413)"
OTHERWISE = {
    "lease grant 600": (_LATER, "user name is empty"),
    "lease revoke 404": (_LATER, "user name is empty"),
    "lease timetolive 404": (_LATER, "user name is empty"),
    "lease list": (_LATER, "user name is empty"),
    "compaction 999": (_LATER, "user name is empty"),
    "member list": (_LATER, "user name is empty"),
    "alarm list": (_LATER, "user name is empty"),
    "lock l -- true": (_LATER, "user name is empty"),
}
"""What is told otherwise here, each with its reason and with words of what is said."""

STEPS = (*_MADE, *_WITHOUT_A_USER, *map(S, OTHERWISE), *_AS_A_USER, *_PASSWORDS, *_AS_ROOT)


# --- in JSON -----------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """`who`: whose token goes with it; empty: none; nobody's name: that very text."""

    who: str
    path: str
    body: dict[str, Any]


A, C, K, W, Z, ALL = "YQ==", "Yw==", "aw==", "dw==", "eg==", "AA=="
PASSWORDS = {"root": "rootpw", "ann": "annpw"}


def _changes() -> Iterator[Asked]:
    def done(path: str, **body: Any) -> Asked:
        return Asked("", f"auth/{path}", body)

    yield done("status")
    yield done("authenticate", name="root", password="rootpw")
    for name, password in PASSWORDS.items():
        yield done("user/add", name=name, password=password)
    yield done("user/add", name="cert", options={"no_password": True})
    yield done("user/add", name="cert", options={"noPassword": True})
    yield done("user/add", password="x")
    yield done("user/add", name=7)
    yield done("role/add", name="r1")
    yield done("role/add")
    yield done("role/grant", name="r1", perm={"permType": "READWRITE", "key": A, "range_end": C})
    yield done("role/grant", name="r1", perm={"permType": "WRITE", "key": W})
    yield done("role/grant", name="r1", perm={"perm_type": "READ", "key": W})
    yield done("role/grant", name="r1", perm={"key": K, "rangeEnd": Z})
    yield done("role/grant", name="r1", perm={"permType": 2})
    yield done("role/grant", name="r1", perm={"permType": "NOTHING", "key": A})
    yield done("role/grant", name="r1")
    yield done("role/grant", name="r2", perm={"key": A})
    yield done("role/get", role="r1")
    yield done("role/revoke", role="r1", key=K)
    yield done("role/revoke", role="r1", key=K, range_end=Z)
    yield done("role/get", role="r1")
    yield done("user/grant", user="ann", role="r1")
    yield done("user/grant", user="root", role="root")
    yield done("user/get", name="ann")
    yield done("user/list")
    yield done("role/list")
    yield done("enable")


_KEYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("kv/put", {"key": A, "value": A}),
    ("kv/put", {"key": Z}),
    ("kv/put", {"key": W, "prev_kv": True}),
    ("kv/put", {}),
    ("kv/put", {"key": A, "lease": 404}),
    ("kv/put", {"key": Z, "lease": 404}),
    ("kv/range", {"key": A}),
    ("kv/range", {"key": A, "range_end": C}),
    ("kv/range", {"key": A, "range_end": Z}),
    ("kv/range", {"key": A, "range_end": ALL}),
    ("kv/range", {"key": ALL, "range_end": ALL, "serializable": True}),
    ("kv/range", {"key": C, "range_end": A}),
    ("kv/range", {"key": W}),
    ("kv/range", {}),
    ("kv/range", {"key": A, "revision": 999}),
    ("kv/range", {"key": Z, "revision": 999}),
    ("kv/deleterange", {"key": A, "range_end": C, "prev_kv": True}),
    ("kv/deleterange", {"key": W, "prev_kv": True}),
    ("kv/deleterange", {"key": W}),
    ("kv/deleterange", {"key": ALL, "range_end": ALL}),
    ("kv/txn", {}),
    ("kv/txn", {"success": [{"request_put": {"key": A}}], "failure": [{"request_put": {"key": Z}}]}),
    ("kv/txn", {"compare": [{"key": Z, "target": "VERSION"}], "success": [{"request_put": {"key": A}}]}),
    ("kv/txn", {"compare": [{"key": A, "target": "VERSION"}], "success": [{"request_range": {"key": A}}]}),
    ("kv/txn", {"success": [{"request_delete_range": {"key": W, "prev_kv": True}}]}),
    ("kv/txn", {"success": [{"request_range": {"key": Z, "serializable": True}}]}),
    ("lease/timetolive", {"ID": 404, "keys": True}),
    ("lock/unlock", {"key": Z}),
    ("election/leader", {"name": Z}),
    ("election/proclaim", {"leader": {"name": Z, "key": Z, "rev": 1}, "value": A}),
    ("auth/status", {}),
    ("auth/user/get", {"name": "ann"}),
    ("auth/user/get", {"name": "root"}),
    ("auth/user/get", {"name": "nobody"}),
    ("auth/role/get", {"role": "r1"}),
    ("auth/role/get", {"role": "nothing"}),
    ("auth/user/list", {}),
    ("auth/role/list", {}),
    ("auth/user/add", {}),
    ("auth/user/changepw", {"name": "nobody", "password": "x"}),
    ("auth/role/grant", {"name": "r1"}),
    ("maintenance/defragment", {}),
    ("cluster/member/remove", {"ID": 404}),
)


def requests() -> Iterator[Asked]:
    """One after the other."""
    yield from _changes()
    for who in ("", "ann", "root", "nonsense", "nonsense.9"):
        for path, body in _KEYS:
            yield Asked(who, path, body)
    yield Asked("", "auth/authenticate", {"name": "ann", "password": "wrong"})
    yield Asked("", "auth/authenticate", {"name": "nobody", "password": "annpw"})
    yield Asked("", "auth/authenticate", {"name": "cert", "password": "x"})
    yield Asked("nonsense", "auth/authenticate", {})
    yield Asked("ann", "auth/disable", {})
    yield Asked("root", "auth/user/changepw", {"name": "ann", "password": "other"})
    yield Asked("ann", "kv/range", {"key": A})
    yield Asked("root", "auth/disable", {})
    yield Asked("root", "kv/range", {"key": A})
    yield Asked("nonsense", "auth/status", {})


def answers(port: int) -> Iterator[Answer]:
    """What one side says. A token of each user is asked for when the first request needs it."""
    tokens: dict[str, str] = {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        for asked in requests():
            if asked.who in PASSWORDS and asked.who not in tokens:
                body = {"name": asked.who, "password": PASSWORDS[asked.who]}
                tokens[asked.who] = json.loads(_post(connection, "auth/authenticate", body, "")[1])["token"]
            shown = tokens.get(asked.who, asked.who)
            yield comparable(*_post(connection, asked.path, asked.body, shown))
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, path: str, body: object, shown: str) -> tuple[int, bytes]:
    headers = {"Authorization": shown} if shown else {}
    connection.request("POST", f"/v3/{path}", json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()
