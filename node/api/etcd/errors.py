"""The errors of etcd's API: a gRPC code, the HTTP status that the gateway makes of it, and etcd's own sentence.

Why it exists: clients tell errors apart by `code`, and some by the sentence, so both are etcd's, to the letter.
It must not decide when one is raised.
"""

import enum

from aiohttp import web

from node.api.answers import json_answer, json_body

NO_METHOD = "Method Not Allowed"
NO_PATH = "Not Found"


class Code(enum.IntEnum):
    """Codes of gRPC, as many as are used here."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
}


class EtcdError(Exception):
    """An answer that is an error, in etcd's form."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status."""
        return _STATUS[self.code]

    def body(self) -> bytes:
        """The JSON body."""
        return json_body({"code": int(self.code), "message": self.message})

    def answer(self) -> web.Response:
        """The response."""
        return json_answer({"code": int(self.code), "message": self.message}, self.status)


def invalid(message: str) -> EtcdError:
    """400, code 3."""
    return EtcdError(Code.INVALID_ARGUMENT, message)


EMPTY_KEY = "etcdserver: key is not provided"
KEY_NOT_FOUND = "etcdserver: key not found"
VALUE_PROVIDED = "etcdserver: value is provided"
LEASE_PROVIDED = "etcdserver: lease is provided"
TOO_MANY_OPERATIONS = "etcdserver: too many operations in txn request"
DUPLICATE_KEY = "etcdserver: duplicate key given in txn request"
SORT_OPTION = "etcdserver: invalid sort option"
TOO_LARGE = "etcdserver: request is too large"
LEASE_NOT_FOUND = "etcdserver: requested lease not found"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE_REVISION = "etcdserver: mvcc: required revision is a future revision"
NO_SPACE = "etcdserver: mvcc: database space exceeded"
