"""A seeded client that asks etcd's API for everything, mostly sensibly, often at a limit, sometimes in bad JSON.

Why it exists: the same requests go to etcd and to a node, and the answers must be equal. It is told the revision that
the last answer named, so that revisions it asks for are sometimes past, sometimes present, sometimes to come.

Keys are few: what is sorted by something that is equal keeps the order of the keys in etcd only up to twelve of them.
"""

import json
import random
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

KEYS = (b"a", b"ab", b"a\0", b"b", b"b/1", b"b/2", b"c", b"\xff", b"\0", "é".encode())
ENDS = (b"\0", b"\0", b"b", b"b0", b"c", b"d", b"a", b"\xff", b"ac")
KV = "/v3/kv/"


class Request(NamedTuple):
    """What is posted."""

    path: str
    body: bytes


class Generator:
    """`next` gives one request after the other; equal seeds and revisions give equal requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._revision = 1
        self._keeping = False

    def next(self, revision: int) -> Request:
        """One more request. `revision`: the highest that was seen."""
        self._revision = revision
        chance = self._random
        kinds: tuple[tuple[str, Callable[[], dict[str, Any]], int], ...] = (
            ("put", self._put, 30),
            ("range", self._range, 35),
            ("deleterange", self._delete, 10),
            ("txn", self._txn, 30),
            ("compaction", self._compaction, 1),
        )
        name, make, _ = chance.choices(kinds, [weight for _, _, weight in kinds])[0]
        message = self._spell(make())
        text = json.dumps(message, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, None, 1)))
        body = text.encode()
        if chance.random() < 0.12:
            body = self._damage(body)
        return Request(KV + name, body)

    def _put(self) -> dict[str, Any]:
        chance = self._random
        message: dict[str, Any] = {"key": self._key()}
        if chance.random() < 0.9:
            message["value"] = self._bytes(chance.choice((b"", b"1", b"2", b"10", bytes(range(20)), b"\xfb\xff\xbf")))
        self._maybe(message, 0.3, "prev_kv", self._bool)
        self._maybe(message, 0.08, "ignore_value", self._bool)
        self._maybe(message, 0.08, "ignore_lease", self._bool)
        self._maybe(message, 0.04, "lease", self._number)
        if message.get("ignore_value") is True and chance.random() < 0.8:
            message.pop("value", None)
        return message

    def _range(self) -> dict[str, Any]:
        message: dict[str, Any] = {"key": self._key()}
        self._maybe(message, 0.7, "range_end", self._end)
        self._maybe(message, 0.3, "limit", lambda: self._in_some_form(self._random.choice((0, 1, 2, 3, 5, 50, -1))))
        self._maybe(message, 0.3, "revision", self._some_revision)
        self._maybe(message, 0.3, "sort_order", lambda: self._enum(("NONE", "ASCEND", "DESCEND")))
        self._maybe(message, 0.3, "sort_target", lambda: self._enum(("KEY", "VERSION", "CREATE", "MOD", "VALUE")))
        for name in ("serializable", "keys_only", "count_only"):
            self._maybe(message, 0.12, name, self._bool)
        for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            self._maybe(message, 0.1, name, self._some_revision)
        return message

    def _delete(self) -> dict[str, Any]:
        message: dict[str, Any] = {"key": self._key()}
        self._maybe(message, 0.3, "range_end", self._end)
        self._maybe(message, 0.4, "prev_kv", self._bool)
        return message

    def _compaction(self) -> dict[str, Any]:
        message: dict[str, Any] = {}
        self._maybe(message, 0.95, "revision", self._some_revision)
        self._maybe(message, 0.2, "physical", self._bool)
        return message

    def _txn(self, depth: int = 0) -> dict[str, Any]:
        chance = self._random
        message: dict[str, Any] = {}
        most = 4 if depth == 0 else 2
        if depth == 0:
            self._keeping = chance.random() < 0.5
        for name in ("success", "failure"):
            self._maybe(message, 0.8, name, lambda: [self._operation(depth) for _ in range(chance.randint(0, most))])
        self._maybe(message, 0.7, "compare", lambda: [self._compare() for _ in range(chance.randint(0, 2))])
        return message

    def _operation(self, depth: int) -> dict[str, Any]:
        chance = self._random
        kinds: list[tuple[str, Callable[[], dict[str, Any]]]] = [
            ("request_range", self._range),
            ("request_put", self._put),
            ("request_put", self._put),
            ("request_delete_range", self._delete),
        ]
        if depth < 3:
            kinds.append(("request_txn", lambda: self._txn(depth + 1)))
        name, make = chance.choice(kinds)
        if chance.random() < 0.01:
            return {}
        message = make()
        if name == "request_range" and "revision" in message and chance.random() < 0.7:
            del message["revision"]
        # etcd 3.6.8 stops with a panic when a transaction keeps the value of a key that it has just deleted, which its
        # checks overlook where the delete was of all keys from one on: never both in one transaction.
        if not self._keeping:
            message.pop("ignore_value", None)
            message.pop("ignore_lease", None)
        elif name == "request_delete_range":
            message.pop("range_end", None)
        if message.get("lease") and chance.random() < 0.8:
            del message["lease"]
        return {name: message}

    def _compare(self) -> dict[str, Any]:
        chance = self._random
        targets = ("VERSION", "CREATE", "MOD", "VALUE", "LEASE")
        unions = ("version", "create_revision", "mod_revision", "value", "lease")
        at = chance.randrange(5)
        message: dict[str, Any] = {"key": self._key()}
        self._maybe(message, 0.9, "target", lambda: targets[at] if chance.random() < 0.8 else self._enum(targets))
        self._maybe(message, 0.9, "result", lambda: self._enum(("EQUAL", "GREATER", "LESS", "NOT_EQUAL")))
        self._maybe(message, 0.3, "range_end", self._end)
        union = unions[at] if chance.random() < 0.95 else chance.choice(unions)
        if chance.random() < 0.95:
            if union == "value":
                message[union] = self._bytes(chance.choice((b"", b"1", b"2", b"10")))
            elif union == "version":
                message[union] = self._in_some_form(chance.choice((0, 0, 1, 1, 2, 3)))
            else:
                message[union] = self._some_revision() if chance.random() < 0.5 else 0
        return message

    def _maybe(self, message: dict[str, Any], probability: float, name: str, make: Callable[[], Any]) -> None:
        if self._random.random() < probability:
            message[name] = make()

    def _key(self) -> Any:
        return self._bytes(b"" if self._random.random() < 0.01 else self._random.choice(KEYS))

    def _end(self) -> Any:
        return self._bytes(self._random.choice(ENDS))

    def _bytes(self, data: bytes) -> Any:
        """Base64 in one of the ways in which it is understood."""
        form = self._random.random()
        if form < 0.85:
            return b64encode(data).decode()
        if form < 0.92:
            return urlsafe_b64encode(data).decode()
        return b64encode(data).decode().rstrip("=")

    def _bool(self) -> Any:
        return self._random.random() < 0.8

    def _number(self) -> Any:
        return self._in_some_form(self._random.choice((0, 1, 7, -3, 2**63 - 1, -(2**63))))

    def _some_revision(self) -> Any:
        chance = self._random
        near = self._revision + chance.randint(-12, 2)
        return self._in_some_form(chance.choice((near, near, near, near, 0, -1, -2, 1, self._revision, 2**62)))

    def _in_some_form(self, number: int) -> Any:
        chance = self._random
        form = chance.random()
        if form < 0.5:
            return str(number)
        if form < 0.9 or abs(number) > 2**53:
            return number
        return float(number) if form < 0.97 else f"{number}e0"

    def _enum(self, names: tuple[str, ...]) -> Any:
        form = self._random.random()
        if form < 0.75:
            return self._random.choice(names)
        return self._random.randrange(len(names)) if form < 0.95 else self._random.choice((-1, 9, "FOO", "value"))

    def _spell(self, message: Any) -> Any:
        """Some names in camelCase, some fields that nobody knows, some nulls."""
        chance = self._random
        if isinstance(message, list):
            return [self._spell(item) for item in message]
        if not isinstance(message, dict):
            return message
        spelt: dict[str, Any] = {}
        for name, value in message.items():
            if chance.random() < 0.3:
                head, *rest = name.split("_")
                name = head + "".join(part.capitalize() for part in rest)
            spelt[name] = None if chance.random() < 0.003 else self._spell(value)
        if chance.random() < 0.02:
            spelt["unknown"] = chance.choice(([1, {"a": [None]}], "x", {}, 1e300))
        return spelt

    def _damage(self, body: bytes) -> bytes:
        """The same with something in it that is wrong, or just unusual."""
        chance = self._random
        at = chance.randrange(len(body) + 1)
        form = chance.randrange(7)
        if form == 0:
            return body[:at]
        if form == 1:
            return body + chance.choice((b"x", b"{}", b" \n", b"}"))
        if form == 2:
            return body[:at] + bytes((chance.randrange(256),)) + body[at:]
        if form == 3:
            return body[:at] + bytes((chance.randrange(256),)) + body[at + 1 :]
        if form == 4:
            return body[:at] + body[at + 1 :]
        if form == 5:
            pieces = (
                b'"',
                b"\\",
                b"\\u12",
                b"\\ud800",
                b"[",
                b"}",
                b",",
                b":",
                b"-",
                b"1.",
                b"1e",
                b"0",
                b"tru",
                b"\n",
            )
            return body[:at] + chance.choice(pieces) + body[at:]
        words = (b"null", b"true", b'"YQ=="', b'"YQ="', b"1.5", b"[]", b"{}", b"-0", b'"\xff"', b"9223372036854775808")
        colon = body.find(b":", at)
        return body if colon < 0 else body[: colon + 1] + chance.choice(words) + body[colon + 1 :]
