"""What the log may ask of the store, and what the store answers: tagged msgpack unions, versioned by their tags.

Why it exists: a write is in the log for ever, so its form must outlive this code. It follows etcd's model (put,
delete-range, a transaction of compares and two branches, compaction, leases), so that etcd's API fits
without another log format: a new write is a new tag, a new field goes to the end and has a default. It must not
know the store.

Decoding is strict (an unknown tag or a surplus field is refused), and nothing nests without end, so that whether
bytes are a write never depends on how deep a caller's stack happens to be.
"""

import enum
from typing import Annotated

import msgspec

from node.statemachine.auth_writes import AsUser, AuthResult, AuthWrite

KEY_BYTES_MAX = 8 * 1024
"""A longer key is refused by `/kv` (413)."""

VALUE_BYTES_MAX = 1024 * 1024
"""A longer value is refused likewise."""

WRITE_BYTES_MAX = 1536 * 1024
"""A longer key or value is refused by the store, should it reach the log: etcd's limit of a whole request."""

TXN_OPERATIONS_MAX = 128
"""Compares, and operations per branch, of one transaction (etcd's default)."""

TXN_DEPTH_MAX = TXN_OPERATIONS_MAX + 1
"""Transactions inside each other, the outermost included: what etcd's limit of operations comes to."""


Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count or revision in a write; anything else is refused when it is decoded."""


class KeyValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version of a key. `version` counts writes since the key was created, from 1; 0 marks a tombstone, which
    never leaves the store. `create_revision` and `mod_revision` are the store's revisions of those writes."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class _Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Put(_Part, frozen=True, tag="p", gc=False):
    """Set `key`. `lease` 0: none. `prev_kv`: answer with the version that was replaced. `ignore_value`,
    `ignore_lease`: keep what the key has; refused where there is no such key."""

    key: bytes
    value: bytes
    lease: Integer = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class DeleteRange(_Part, frozen=True, tag="d", gc=False):
    """Delete `key`, or all keys in [key, range_end); `range_end` b"\\0": every key from `key` on."""

    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class SortOrder(enum.IntEnum):
    """Which way a range is sorted (etcd's SortOrder). NONE: ascending, where the target is not the key."""

    NONE = 0
    ASCEND = 1
    DESCEND = 2


class SortTarget(enum.IntEnum):
    """What of its keys a range is sorted by (etcd's SortTarget); equal ones stay in the order of their keys."""

    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


class Range(_Part, frozen=True, tag="r", gc=False):
    """Read [key, range_end) at `revision` (0: now), at most `limit` keys (0: all); `range_end` as in `DeleteRange`.

    The filters (0: none) leave out versions written or created before `min_...` or after `max_...`; what they leave
    out still counts in the result's `count`. Inside a transaction a negative revision is one that was compacted.
    """

    key: bytes
    range_end: bytes = b""
    revision: Integer = 0
    limit: Integer = 0
    keys_only: bool = False
    count_only: bool = False
    sort_order: SortOrder = SortOrder.NONE
    sort_target: SortTarget = SortTarget.KEY
    min_mod_revision: Integer = 0
    max_mod_revision: Integer = 0
    min_create_revision: Integer = 0
    max_create_revision: Integer = 0


class Target(enum.IntEnum):
    """What of a key is compared (etcd's CompareTarget)."""

    VERSION = 0
    CREATE_REVISION = 1
    MOD_REVISION = 2
    VALUE = 3
    LEASE = 4


class Relation(enum.IntEnum):
    """How it must relate to the operand (etcd's CompareResult)."""

    EQUAL = 0
    GREATER = 1
    LESS = 2
    NOT_EQUAL = 3


class Compare(_Part, frozen=True, gc=False):
    """True when `target` of the key relates to `operand` (bytes for VALUE, else int).

    A missing key has 0 for every number and fails every compare of VALUE. With `range_end` each key in the range
    must satisfy it.
    """

    key: bytes
    target: Target
    relation: Relation
    operand: int | bytes
    range_end: bytes = b""


class Nested(_Part, frozen=True, tag="n", gc=False):
    """A transaction inside another: the `index`-th of the outermost one's `nested`."""

    index: Natural


Operation = Put | DeleteRange | Range | Nested


class Branches(_Part, frozen=True, gc=False):
    """A nested transaction: as `Txn`."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Operation, ...] = ()
    failure: tuple[Operation, ...] = ()


class Txn(_Part, frozen=True, tag="t", gc=False):
    """If all of `compare` hold do `success`, else `failure`; all of it at one revision, or none of it.

    `nested` is the flat table of all transactions inside: each is referred to by exactly one `Nested`, which stands
    in an earlier one or here. All compares, of nested ones too, look at the state before the transaction.
    """

    compare: tuple[Compare, ...] = ()
    success: tuple[Operation, ...] = ()
    failure: tuple[Operation, ...] = ()
    nested: tuple[Branches, ...] = ()


class Compact(_Part, frozen=True, tag="c", gc=False):
    """Revisions below `revision` need not stay readable."""

    revision: Natural


class Register(_Part, frozen=True, tag="s", gc=False):
    """Begin a client's session, whose number is the index of this entry. `idle_us`: it ends when it was not used for
    so long, in log time."""

    idle_us: Natural


class InSession(_Part, frozen=True, tag="i", gc=False):
    """`write`, bytes of any other, with the session and sequence of its entry: done once, however often it comes.

    `answered`: the client waits no more for the answer to any sequence number up to this. An entry that is no
    `InSession` is done each time, whatever numbers it has: so it was before there were sessions."""

    answered: Natural
    write: bytes


class LeaseGrant(_Part, frozen=True, tag="g", gc=False):
    """Begin a lease of that number (0: one is made), which lives for `ttl_s` seconds of log time from this entry on."""

    id: Integer
    ttl_s: Integer


class LeaseRevoke(_Part, frozen=True, tag="v", gc=False):
    """End it now, and delete its keys."""

    id: Integer


class LeaseKeepAlive(_Part, frozen=True, tag="k", gc=False):
    """Its time to live begins anew with this entry."""

    id: Integer


class LeaseExpire(_Part, frozen=True, tag="x", gc=False):
    """End leases whose time is over at the log time of this entry: the longest over first, a bounded number. A leader
    proposes it; where it comes too early, it does nothing."""


KeyWrite = Put | DeleteRange | Txn | Compact
LeaseWrite = LeaseGrant | LeaseRevoke | LeaseKeepAlive | LeaseExpire
StoreWrite = KeyWrite | LeaseWrite | AuthWrite
"""What may be done in a session or without one."""

Write = StoreWrite | Register | InSession | AsUser


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """Not strict: results live in no log, and a newer node may say more than an older one reads."""


class PutResult(_Answer, frozen=True, tag="p"):
    """`revision`: the store's after the write, here and in every result; for a put it is the key's mod_revision."""

    revision: int
    prev: KeyValue | None = None


class DeleteResult(_Answer, frozen=True, tag="d"):
    """`deleted` keys; with `prev_kv` what they were. No key deleted: the revision did not grow."""

    revision: int
    deleted: int
    prev: tuple[KeyValue, ...] = ()


class RangeResult(_Answer, frozen=True, tag="r"):
    """`kvs` in the order asked for, at most `limit`; `count` of all keys in the range; `more`: the limit cut some."""

    revision: int
    kvs: tuple[KeyValue, ...]
    count: int
    more: bool


class TxnResult(_Answer, frozen=True, tag="t"):
    """One response per operation of the branch that ran; `succeeded`: it was `success`."""

    revision: int
    succeeded: bool
    responses: tuple["Response", ...]


Response = PutResult | DeleteResult | RangeResult | TxnResult


class CompactResult(_Answer, frozen=True, tag="c"):
    revision: int


class LeaseGranted(_Answer, frozen=True, tag="g", gc=False):
    """`ttl_s`: as it is, which may be more than was asked for."""

    revision: int
    id: int
    ttl_s: int


class LeaseRevoked(_Answer, frozen=True, tag="v", gc=False):
    """`revision`: of its keys' deletion, where it had keys."""

    revision: int


class LeaseKept(_Answer, frozen=True, tag="k", gc=False):
    """`ttl_s`: how long it lives now; 0: there is no such lease (any more)."""

    revision: int
    id: int
    ttl_s: int


class LeasesExpired(_Answer, frozen=True, tag="l", gc=False):
    """How many were ended."""

    revision: int
    ended: int


class LeaseView(_Answer, frozen=True, tag="w"):
    """What a read found of a lease. `ttl_s` -1: there is none. `expiry_us`: log time."""

    revision: int
    id: int
    ttl_s: int
    expiry_us: int
    keys: tuple[bytes, ...] = ()


class LeaseNumbers(_Answer, frozen=True, tag="m"):
    """Which leases a read found."""

    revision: int
    ids: tuple[int, ...]


class Registered(_Answer, frozen=True, tag="s", gc=False):
    """The number of the session, and how long it may be idle."""

    session: int
    idle_us: int


class Untold(_Answer, frozen=True, tag="u", gc=False):
    """The write was done when it came first; its answer was too long to be kept for when it comes again."""


class Compacted(_Answer, frozen=True, tag="x", gc=False):
    """`revision` was compacted; the oldest readable one is `compact_revision`."""

    revision: int
    compact_revision: int


class FutureRevision(_Answer, frozen=True, tag="f", gc=False):
    """`revision` has not happened yet; the store is at `current`."""

    revision: int
    current: int


class Refused(_Answer, frozen=True, tag="e", gc=False):
    """The write is in the log but cannot be done, and changed nothing. `code` is for programs: "malformed",
    "empty-key", "too-large", "too-many-operations", "duplicate-key", "key-not-found", "lease-not-found",
    "lease-exists", "too-many-leases"; those of `AUTH_REFUSALS`, and what is said of users and roles (`authorizing`);
    and those of `SESSION_REFUSALS`, which do not say what became of the same write when it came before."""

    code: str
    message: str


SESSION_EXPIRED = "session-expired"
SEQUENCE_ANSWERED = "sequence-answered"
SEQUENCE_REUSED = "sequence-reused"
SESSION_REFUSALS = (SESSION_EXPIRED, SEQUENCE_ANSWERED, SEQUENCE_REUSED)

AUTH_REFUSALS = frozenset({"user-empty", "permission-denied", "auth-old-revision", "user-not-found"})
"""Who asked may not, or it is not known who they are: see `permitting`."""

ReadError = Compacted | FutureRevision
LeaseResult = LeaseGranted | LeaseRevoked | LeaseKept | LeasesExpired | LeaseView | LeaseNumbers
StoreResult = (
    PutResult
    | DeleteResult
    | RangeResult
    | TxnResult
    | CompactResult
    | LeaseResult
    | AuthResult
    | Compacted
    | FutureRevision
    | Refused
)
Result = StoreResult | Registered | Untold

_WRITES: msgspec.msgpack.Decoder[Write] = msgspec.msgpack.Decoder(Write)
_RESULTS: msgspec.msgpack.Decoder[Result] = msgspec.msgpack.Decoder(Result)
_ENCODER = msgspec.msgpack.Encoder()


def encode_write(write: Write) -> bytes:
    """The bytes of a WRITE entry."""
    return _ENCODER.encode(write)


def as_user(user: str, since: int, write: bytes) -> bytes:
    """The bytes of a WRITE entry that does `write`, those of any other, for a user if they may: see `AsUser`."""
    return _ENCODER.encode(AsUser(user, since, write))


def in_session(write: bytes, answered: int) -> bytes:
    """The bytes of a WRITE entry that does `write`, those of another, once."""
    return _ENCODER.encode(InSession(answered, write))


def decode_write(data: bytes) -> Write:
    """Inverse of `encode_write`; raises `msgspec.MsgspecError` for anything else."""
    try:
        return _WRITES.decode(data)
    except UnicodeDecodeError as error:  # msgspec lets this one through where a tag is not UTF-8
        raise msgspec.DecodeError(str(error)) from None


def encode_result(result: object) -> bytes:
    """The bytes of a `Result`."""
    return _ENCODER.encode(result)


def decode_result(data: bytes) -> Result:
    """Inverse of `encode_result`; raises `msgspec.MsgspecError` for anything else."""
    try:
        return _RESULTS.decode(data)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` that makes [prefix, range_end) all keys beginning with `prefix`; b"\\0" where there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else b"\0"
