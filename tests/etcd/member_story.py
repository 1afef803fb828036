"""Requests about members to a cluster of one, and what of the answers must be equal.

Why it exists: ids and addresses are each side's own, so they are written as words, in what is asked and in what is
answered. Everything here leaves the cluster as it was: only etcd makes a member of somebody who does not ask.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from tests.etcd.comparison import Answer, Client
from tests.etcd.generator import Request

_PATH = "/v3/cluster/member/"
_IDS = (
    *(b"{}", b'{"ID":"1"}', b'{"ID":1}', b'{"ID":"x"}', b'{"ID":-1}', b'{"ID":1e3}', b'{"ID":true}', b'{"id":"1"}'),
    *(b'{"ID":"18446744073709551615"}', b'{"ID":"18446744073709551616"}', b'{"ID":null}', b'{"ID":"1","ID":"1"}'),
)
_ADDED = (
    *(b"", b"nul", b"{}", b'{"peerURLs":[]}', b'{"peerURLs":null}', b'{"peerURLs":"x"}', b'{"peerURLs":[1]}'),
    *(b'{"peerURLs":[{}]}', b'{"peerURLs":[null]}', b'{"peerURLs":["a",]}', b'{"peerURLs":["x"]}'),
    *(b'{"peerURLs":["http://h"]}', b'{"peerURLs":["http://h:1/a"]}', b'{"peerURLs":["ftp://h:1"]}'),
    *(b'{"peerURLs":["@URL"]}', b'{"peerURLs":[" @URL "],"isLearner":true}', b'{"peerURLs":["http://h:1","x"]}'),
    *(b'{"isLearner":"true"}', b'{"peer_urls":["x"]}', b'{"peerURLs":["x"],"peerURLs":["y"]}', b'{"peerURLs":[["x"]]}'),
    *(b'{"peerURLs":["\\u0041"]}', b'{"peerURLs":["\\ud800"]}'),
)


class Words(NamedTuple):
    """What is a side's own: each value, and the word for it."""

    of: dict[str, str]

    def asked(self, request: Request) -> Request:
        """The request to this side."""
        body = request.body
        for value, word in self.of.items():
            body = body.replace(word.encode(), value.encode())
        return Request(request.path, body)

    def answered(self, answer: Answer) -> Answer:
        """This side's answer, with words."""
        text = json.dumps(answer.body)
        for value, word in self.of.items():
            text = text.replace(json.dumps(value), json.dumps(word))
        return Answer(answer.status, json.loads(text))


def words_of(side: Client) -> Words:
    """Of a cluster of one."""
    (member,) = side.post(Request(f"{_PATH}list", b"{}")).body["members"]
    (peer,), (client,) = member["peerURLs"], member["clientURLs"]
    return Words({member["ID"]: "@ID", member["name"]: "@NAME", peer: "@URL", client: "@CLIENT"})


def requests() -> list[Request]:
    """All of them, in order."""
    asked = [
        *(("list", body) for body in (b"{}", b'{"linearizable":true}')),
        *(("add", body) for body in _ADDED),
        *((verb, body) for verb in ("promote", "update") for body in _IDS),
        *(("remove", body) for body in _IDS if b"x" in body or b"-" in body or b"16" in body or b"true" in body),
        *((verb, b'{"ID":"@ID"}') for verb in ("promote", "remove")),
        ("update", b'{"ID":"@ID","peerURLs":["@URL"]}'),
        ("list", b'{"linearizable":true}'),
    ]
    return [Request(_PATH + verb, body) for verb, body in asked]


def answers(side: Client) -> Iterator[Answer]:
    """To each of them, in words."""
    words = words_of(side)
    for request in requests():
        yield words.answered(side.post(words.asked(request)))
