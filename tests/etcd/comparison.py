"""What of two answers must be equal, and how either side is asked.

Why it exists: the same rule judges against a running etcd and against what one said once.
"""

import http.client
import json
from types import TracebackType
from typing import Any, NamedTuple

from tests.etcd.generator import Request

OWN_TO_EACH = ("cluster_id", "member_id", "raft_term")


class Answer(NamedTuple):
    """Status and JSON body, without what is each side's own."""

    status: int
    body: Any

    @property
    def revision(self) -> int:
        """The revision that the answer's header names, else 0."""
        header = self.body.get("header", {}) if isinstance(self.body, dict) else {}
        return int(header.get("revision", 0))


def comparable(status: int, body: bytes) -> Answer:
    """Without ids and terms, and with one kind of blank."""
    try:
        decoded = json.loads(body)
    except ValueError:
        return Answer(status, body.decode("utf-8", "replace"))
    if isinstance(decoded, dict):
        for name in OWN_TO_EACH:
            decoded.get("header", {}).pop(name, None)
        if isinstance(decoded.get("message"), str):
            decoded["message"] = with_a_blank(decoded["message"])
    return Answer(status, decoded)


def with_a_blank(message: str) -> str:
    """Go writes a blank or a no-break space after `proto:`, as its build goes."""
    return message.replace("proto:\u00a0", "proto: ")


class Client:
    """One connection to one side; a context manager."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def post_whole(self, request: Request) -> Any:
        """The JSON of an answer, with ids and terms."""
        self._connection.request("POST", request.path, request.body)
        return json.loads(self._connection.getresponse().read())

    def post(self, request: Request) -> Answer:
        """Send it and read the answer."""
        self._connection.request("POST", request.path, request.body)
        answer = self._connection.getresponse()
        return comparable(answer.status, answer.read())
