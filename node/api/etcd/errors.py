"""The errors of etcd's API: a gRPC code and etcd's own sentence.

Why it exists: clients tell errors apart by `code`, and some by the sentence, so both are etcd's, to the letter.
It must not decide when one is raised, and not know in which form it leaves.
"""

import enum

NO_METHOD = "Method Not Allowed"
NO_PATH = "Not Found"


class Code(enum.IntEnum):
    """Codes of gRPC, as many as are used here."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class EtcdError(Exception):
    """An answer that is an error: what every door makes of it follows from `code`."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


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
NOT_LEADER = "etcdserver: not leader"
BAD_TRANSFEREE = "etcdserver: bad leader transferee"
LEASE_NOT_FOUND = "etcdserver: requested lease not found"
LEASE_EXISTS = "etcdserver: lease already exists"
TTL_TOO_LARGE = "etcdserver: too large lease TTL"
TOO_MANY_LEASES = "etcdserver: too many leases"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE_REVISION = "etcdserver: mvcc: required revision is a future revision"
NO_SPACE = "etcdserver: mvcc: database space exceeded"
MEMBER_NOT_FOUND = "etcdserver: member not found"
MEMBER_EXISTS = "etcdserver: member ID already exist"
PEER_URL_EXISTS = "etcdserver: Peer URLs already exists"
BAD_MEMBER_URLS = "etcdserver: given member URLs are invalid"
NOT_LEARNER = "etcdserver: can only promote a learner member"
LEARNER_NOT_READY = "etcdserver: can only promote a learner member which is in sync with leader"
NOT_ENOUGH_STARTED = "etcdserver: re-configuration failed due to not enough started members"
UNHEALTHY = "etcdserver: unhealthy cluster"
TOO_MANY_REQUESTS = "etcdserver: too many requests"
USER_EMPTY = "etcdserver: user name is empty"
USER_EXISTS = "etcdserver: user name already exists"
USER_NOT_FOUND = "etcdserver: user name not found"
ROLE_EMPTY = "etcdserver: role name is empty"
ROLE_EXISTS = "etcdserver: role name already exists"
ROLE_NOT_FOUND = "etcdserver: role name not found"
ROLE_NOT_GRANTED = "etcdserver: role is not granted to the user"
PERMISSION_NOT_GIVEN = "etcdserver: permission not given"
PERMISSION_NOT_GRANTED = "etcdserver: permission is not granted to the role"
PERMISSION_DENIED = "etcdserver: permission denied"
NO_ROOT_USER = "etcdserver: root user does not exist"
NO_ROOT_ROLE = "etcdserver: root user does not have root role"
AUTH_NOT_ENABLED = "etcdserver: authentication is not enabled"
AUTH_FAILED = "etcdserver: authentication failed, invalid user ID or password"
NO_PASSWORD = "auth: authentication failed, password was given for no password user"
INVALID_TOKEN = "etcdserver: invalid auth token"
NOW_IN_FORCE = "etcdserver: users were put in force after this stream was opened: open it anew, and show who you are"
MEANWHILE_IN_FORCE = "etcdserver: users were put in force after this was asked: ask again, and show who you are"
INVALID_MANAGEMENT = "etcdserver: invalid auth management"
OLD_REVISION = "etcdserver: revision of auth store is old"
