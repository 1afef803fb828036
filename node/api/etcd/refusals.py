"""What the store refuses, in etcd's words.

Why it exists: the store's codes are its own; clients know etcd's, code and sentence. It must not decide anything.
"""

from node.api.etcd import errors
from node.api.etcd.errors import Code, EtcdError
from node.runtime.ports import NotProposed, ReadFailed
from node.statemachine.writes import SESSION_EXPIRED, Refused

_INVALID, _FAILED = Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION

REFUSALS = {
    "key-not-found": (_INVALID, errors.KEY_NOT_FOUND),
    "lease-not-found": (Code.NOT_FOUND, errors.LEASE_NOT_FOUND),
    "lease-exists": (_FAILED, errors.LEASE_EXISTS),
    "too-many-leases": (Code.RESOURCE_EXHAUSTED, errors.TOO_MANY_LEASES),
    "duplicate-key": (_INVALID, errors.DUPLICATE_KEY),
    "empty-key": (_INVALID, errors.EMPTY_KEY),
    "too-many-operations": (_INVALID, errors.TOO_MANY_OPERATIONS),
    "too-large": (_INVALID, errors.TOO_LARGE),
    "user-empty": (_INVALID, errors.USER_EMPTY),
    "permission-denied": (Code.PERMISSION_DENIED, errors.PERMISSION_DENIED),
    "auth-old-revision": (_INVALID, errors.OLD_REVISION),
    "auth-failed": (_INVALID, errors.AUTH_FAILED),
    "auth-not-enabled": (_FAILED, errors.AUTH_NOT_ENABLED),
    "root-user-missing": (_FAILED, errors.NO_ROOT_USER),
    "root-role-missing": (_FAILED, errors.NO_ROOT_ROLE),
    "user-exists": (_FAILED, errors.USER_EXISTS),
    "user-not-found": (_FAILED, errors.USER_NOT_FOUND),
    "role-exists": (_FAILED, errors.ROLE_EXISTS),
    "role-not-found": (_FAILED, errors.ROLE_NOT_FOUND),
    "role-empty": (_INVALID, errors.ROLE_EMPTY),
    "role-not-granted": (_FAILED, errors.ROLE_NOT_GRANTED),
    "permission-not-granted": (_FAILED, errors.PERMISSION_NOT_GRANTED),
    "invalid-auth-management": (_INVALID, errors.INVALID_MANAGEMENT),
}


def refused(result: Refused) -> EtcdError:
    """The error to answer with; what etcd never says keeps the store's own sentence."""
    own = {SESSION_EXPIRED: Code.NOT_FOUND, "auth-full": Code.RESOURCE_EXHAUSTED}.get(result.code, _INVALID)
    return EtcdError(*REFUSALS.get(result.code, (own, f"etcdserver: {result.message}")))


def unavailable(failed: ReadFailed | NotProposed) -> str:
    """The sentence of what was not done, and may be asked for again."""
    return "etcdserver: no leader" if failed.code == "no-leader" else f"etcdserver: {failed.reason}"
