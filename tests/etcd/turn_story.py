"""Locks and elections of an etcd and of a node, step by step, and what is answered.

Why it exists: these calls wait for each other, so a story has requests that are begun in one step and answered in a
later one. It waits for what can be seen (keys in a queue), never for time.
"""

import http.client
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.etcd.comparison import with_a_blank
from tests.supervisor.conftest import eventually

ONE, TWO, MINUS, GONE = "7", "8", "-9", "404"


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _name(name: str, **more: Any) -> dict[str, Any]:
    return {"name": _b64(name), **more}


class Teller:
    """Asks, and keeps what is answered, without what is each side's own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.said: list[Any] = []

    def ask(self, path: str, body: Any) -> Any:
        with self.begun(path, body):
            pass
        return self.said[-1]

    @contextmanager
    def begun(self, path: str, body: Any) -> Iterator[http.client.HTTPConnection]:
        """A request that is answered once the block is done."""
        connection = self._send(path, body)
        try:
            yield connection
            answer = connection.getresponse()
            self.said.append([answer.status, _comparable(answer.read())])
        finally:
            connection.close()

    def leave(self, path: str, body: Any, keys: int) -> None:
        """Ask, and go once the queue is so long."""
        connection = self._send(path, body)
        self.wait_for_keys(keys)
        connection.close()
        self.wait_for_keys(keys - 1)

    @contextmanager
    def observing(self, body: Any) -> Iterator[Callable[[], None]]:
        """What is given keeps the next line that it hears. Not even a status comes before the first one."""
        connection = self._send("election/observe", body)
        answers: list[http.client.HTTPResponse] = []

        def hear() -> None:
            answers[:] = answers or [connection.getresponse()]
            self.said.append(_comparable(answers[0].readline()))

        try:
            yield hear
        finally:
            connection.close()

    def wait_for_keys(self, keys: int) -> None:
        everything = {"key": "AA==", "range_end": "AA==", "count_only": True}

        def count() -> int:
            connection = self._send("kv/range", everything)
            try:
                return int(json.loads(connection.getresponse().read()).get("count", 0))
            finally:
                connection.close()

        eventually(lambda: count() == keys, f"{keys} keys")

    def _send(self, path: str, body: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", f"/v3/{path}", body if isinstance(body, bytes) else json.dumps(body).encode())
        return connection


def _comparable(body: bytes) -> Any:
    found = json.loads(body)
    if isinstance(found.get("message"), str):
        found["message"] = with_a_blank(found["message"])
    for part in (found, found.get("result", {})):
        part["header"] = {"revision": part["header"].get("revision")} if "header" in part else None
    return found


def said(port: int) -> list[Any]:
    """What the server on that port answers."""
    tell = Teller(port)
    for lease in (ONE, TWO, MINUS):
        tell.ask("lease/grant", {"TTL": 600, "ID": lease})
    _locks(tell)
    tell.ask("lease/grant", {"TTL": 600, "ID": ONE})
    _elections(tell)
    return tell.said


def _locks(tell: Teller) -> None:
    first, second = _name("m", lease=ONE), _name("m", lease=TWO)
    tell.ask("lock/lock", first)
    tell.ask("lock/lock", first)
    for body in (_name("m", lease=GONE), {"lease": ONE}, _name("negative", lease=MINUS), b"[]", b"x"):
        tell.ask("lock/lock", body)
    tell.wait_for_keys(3)
    with tell.begun("lock/lock", second):
        tell.wait_for_keys(4)
        tell.ask("lock/unlock", {"key": _b64("m/7")})
    for body in ({"key": _b64("m/7")}, {}, b"x"):
        tell.ask("lock/unlock", body)
    tell.leave("lock/lock", first, 4)
    with tell.begun("lock/lock", first):
        tell.wait_for_keys(4)
        tell.ask("lease/revoke", {"ID": ONE})
        tell.ask("lock/unlock", {"key": _b64("m/8")})
    tell.ask("kv/range", {"key": "AA==", "range_end": "AA=="})


def _elections(tell: Teller) -> None:
    tell.ask("election/leader", _name("e"))
    with tell.observing(_name("e")) as hear:
        tell.ask("election/campaign", _name("e", lease=ONE, value=_b64("one")))
        hear()
        key = tell.ask("election/leader", _name("e"))[1]["kv"]
        leader = {**_name("e"), "key": key["key"], "rev": key["create_revision"], "lease": key["lease"]}
        tell.ask("election/campaign", _name("e", lease=ONE, value=_b64("two")))
        hear()
        tell.ask("election/campaign", _name("e", lease=GONE, value=_b64("two")))
        for body in ({"leader": leader, "value": _b64("three")}, {"value": "eA=="}, {"leader": {**leader, "rev": "1"}}):
            tell.ask("election/proclaim", body)
        hear()
        with tell.begun("election/campaign", _name("e", lease=TWO, value=_b64("second"))):
            tell.wait_for_keys(3)
            tell.ask("election/resign", {})
            tell.ask("election/resign", {"leader": leader})
        tell.ask("election/resign", {"leader": leader})
        hear()
    tell.ask("election/leader", _name("e"))
    tell.ask("lease/revoke", {"ID": TWO})
    tell.ask("election/leader", _name("e"))
