"""No entry of the log holds the loop while it is applied: each kind, each command, as large as it may be, in a store of
200,000 keys; where a client waits for its answer, and where nobody does.

The kinds are those of `EntryKind` and of the union `Write`: one that has no case here fails.
"""

from collections.abc import Callable
from itertools import count
from typing import get_args

import pytest

from node.raft.messages import Append, AppendReply, Heartbeat
from node.raft.types import Entry, EntryKind
from node.runtime.inputs import WantWrite
from node.runtime.ports import Done, Outcome
from node.runtime.snapshot_receiving import RESTORE_WORK_PER_TURN_MAX
from node.runtime.snapshot_taking import SNAPSHOT_WORK_PER_TURN_MAX
from node.runtime.snapshotting import TIDY_WORK_PER_TURN_MAX
from node.statemachine.auth import (
    PERMISSIONS_PER_ROLE_MAX,
    ROLES_MAX,
    ROLES_PER_USER_MAX,
    ROOT,
    TOKENS_MAX,
    USERS_MAX,
    Auth,
    Permission,
    Role,
    Token,
    User,
)
from node.statemachine.auth_writes import (
    AsUser,
    AuthDisable,
    AuthEnable,
    Kind,
    LogIn,
    LogOut,
    RoleAdd,
    RoleDelete,
    RoleGrantPermission,
    RoleRevokePermission,
    UserAdd,
    UserDelete,
    UserGrantRole,
    UserPassword,
    UserRevokeRole,
)
from node.statemachine.sessions import (
    IDLE_US_MAX,
    RESULT_BYTES_MAX,
    RESULTS_MAX,
    SESSIONS_BYTES_MAX,
    SESSIONS_MAX,
    Kept,
    Session,
    Sessions,
)
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import (
    TXN_OPERATIONS_MAX,
    WRITE_BYTES_MAX,
    Branches,
    Compact,
    Compare,
    DeleteRange,
    InSession,
    KeyValue,
    LeaseExpire,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    Nested,
    Put,
    PutResult,
    Range,
    Refused,
    Register,
    Relation,
    Target,
    Txn,
    Write,
    encode_result,
    encode_write,
)
from tests.bounds.member import Member, member
from tests.bounds.meter import TURN_US_MAX, Meter
from tests.bounds.store import KEYS, LEASES, entry, full_store, lease
from tests.bounds.test_messages import last_index, wide_configuration

pytestmark = pytest.mark.timeout(300)

EVERYTHING = Range(b"\0", b"\0")
TRUE_OF_ALL = Compare(b"\0", Target.CREATE_REVISION, Relation.GREATER, 0, b"\0")
TRUE_OF_ONE = Compare(b"key-000007", Target.VERSION, Relation.GREATER, 0)
PUTS = tuple(Put(b"txn-%d" % i, b"v" * 8_000) for i in range(TXN_OPERATIONS_MAX))


def wide() -> Txn:
    """Eight nested transactions with 128 compares and 128 operations each: 1,024 operations, 2 MB."""
    inner = tuple(
        Branches((TRUE_OF_ONE,) * TXN_OPERATIONS_MAX, tuple(Put(b"%d-%d" % (i, j), b"v" * 1_000) for j in range(128)))
        for i in range(8)
    )
    return Txn((), tuple(Nested(i) for i in range(8)), (), inner)


NOTHING_BUT_COMPARES = Txn((), (), (), tuple(Branches((TRUE_OF_ONE,) * TXN_OPERATIONS_MAX) for _ in range(700)))
"""90,000 compares in 1.6 MB, which are decoded, and then refused: those who have no place in the tree."""

MINE = 10**9
"""The session of what is an `InSession`; `SEQUENCES`: of one after the other."""

SEQUENCES = count(1)
LONG = b"v" * (RESULT_BYTES_MAX - 1_000)

KEEPING: dict[str, Write] = {
    "Put of the longest value": Put(b"longest", b"v" * (WRITE_BYTES_MAX - 100), prev_kv=True),
    "Txn of the most operations": wide(),
    "Txn that compares every key": Txn((TRUE_OF_ALL, *(TRUE_OF_ONE,) * 127), PUTS),
    "Txn that reads every key": Txn((), (Put(b"k", b"v"), EVERYTHING)),
    "Txn that reads many limited ranges": Txn((), (Put(b"k", b"v"), *(Range(b"\0", b"\0", limit=100),) * 127)),
    "Register where there are as many as there may be": Register(IDLE_US_MAX),
    "LeaseGrant where there are many": LeaseGrant(0, 60),
    "LeaseKeepAlive where there are many": LeaseKeepAlive(7),
    "InSession of the most operations": InSession(0, encode_write(wide())),
    "InSession that reads every key": InSession(0, encode_write(Txn((), (Put(b"k", b"v"), EVERYTHING)))),
    "InSession that makes room": InSession(0, encode_write(Txn((), (Put(b"long", LONG), Range(b"long"))))),
}
"""They leave the store's keys as they are."""

REMOVING: dict[str, Write] = {
    "LeaseRevoke of a lease with very many keys": LeaseRevoke(LEASES + 1),
    "LeaseExpire of many leases": LeaseExpire(),
    "DeleteRange of every key": DeleteRange(b"\0", b"\0", prev_kv=True),
    "Compact of every key": Compact(KEYS),
}
"""They do not; in this order."""


_NAMES = [f"{i:04}" + "n" * 252 for i in range(USERS_MAX)]
_KEYS = [b"%03d" % i + b"k" * 30 for i in range(PERMISSIONS_PER_ROLE_MAX)]
OF_USERS: dict[str, Write] = {
    "UserAdd where there are many": UserAdd("new", b"h" * 100),
    "RoleAdd where there are many": RoleAdd("new"),
    "RoleGrantPermission of the longest keys": RoleGrantPermission("new", Kind.WRITE, b"k" * 8192, b"l" * 8192),
    "UserGrantRole where there are many": UserGrantRole("new", "new"),
    "UserPassword where there are many": UserPassword("new", b"i" * 100),
    "AuthEnable where there are many": AuthEnable(),
    "AsUser of the most operations, with the most permissions": AsUser(_NAMES[1], 1, encode_write(wide())),
    "LogIn where there are as many tokens as there may be": LogIn(_NAMES[1], 1, b"d" * 32),
    "LogOut where there are as many tokens as there may be": LogOut(b"d" * 32),
    "AuthDisable where there are as many tokens as there may be": AsUser(ROOT, 1, encode_write(AuthDisable())),
    "RoleRevokePermission where there are many": RoleRevokePermission("new", b"k" * 8192, b"l" * 8192),
    "UserRevokeRole where there are many": UserRevokeRole("new", "new"),
    "RoleDelete of a role that all users have": RoleDelete(_NAMES[0]),
    "UserDelete where there are many": UserDelete("new"),
}
"""In this order, in a store that knows as many users as there may be, but one."""


def crowd(auth: Auth) -> None:
    """Each has as many roles as they may have, each of which has as many permissions as it may have: on all keys."""
    permissions = (Permission(Kind.READWRITE, b"\0", b"\0"), *(Permission(Kind.READ, key) for key in _KEYS[1:]))
    for name in _NAMES[1:]:
        auth.users[name] = User(name, b"h" * 100, False, 1, tuple(_NAMES[:ROLES_PER_USER_MAX]))
    for name in _NAMES[: ROLES_MAX - 1]:
        auth.put_role(Role(name, permissions))
    auth.users[ROOT] = User(ROOT, b"h", False, 1, (ROOT,))
    del auth.users[_NAMES[-1]]
    for at in range(TOKENS_MAX):
        auth.give(Token(at.to_bytes(32), ROOT, 1, 0))


def fill(sessions: Sessions) -> None:
    """As many as there may be, and as many bytes. Those that go first are small, so that many go at once; the last has
    as many results as it may."""
    short = encode_result(PutResult(1))
    long, few = encode_result(PutResult(1, KeyValue(b"k", LONG, 1, 1, 1))), SESSIONS_MAX - 600
    for number in range(1, few):
        sessions.load(Session(number, IDLE_US_MAX, 0, 0))
    sessions.load(Session(MINE, IDLE_US_MAX, 0, 0, tuple(Kept(10**6 + i, 0, short) for i in range(RESULTS_MAX))))
    number = few
    while sessions.size_bytes < SESSIONS_BYTES_MAX - 70_000:
        sessions.load(Session(number, IDLE_US_MAX, 0, 0, (Kept(1, 0, long),)))
        number += 1
    while len(sessions) < SESSIONS_MAX:
        sessions.load(Session(number, IDLE_US_MAX, 0, 0))
        number += 1


@pytest.fixture(scope="module")
def store() -> KeyValueStore:
    store = full_store()
    fill(store.sessions)
    lease(store, 10**12)
    return store


def wait_for(node: Member, command: Write) -> Outcome:
    """As the leader, of a client that waits."""
    outcomes: list[Outcome] = []
    numbers = (MINE, next(SEQUENCES)) if isinstance(command, InSession) else (0, 0)
    node.shell.post(WantWrite(encode_write(command), node.now + 100_000_000, outcomes.append, *numbers))
    node.turns()

    node.hear(AppendReply(node.core.term, True, last_index(node)))
    return outcomes[0]


def hear_of(node: Member, entries: tuple[Entry, ...]) -> None:
    """As a follower, of which nobody wants to know."""
    node.hear(Append(1, 1, 0, 1 + len(entries), entries))


def check(name: str, node: Member, action: Callable[[], object]) -> None:
    worst = node.walk(action)
    print(f"{name}: {worst}, {node.meter.turns} turns")
    assert worst.us <= TURN_US_MAX, str(worst)


def walk_waiting(store: KeyValueStore, name: str, command: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch, store) as node:
        node.lead()
        outcomes: list[Outcome] = []
        check(name, node, lambda: outcomes.append(wait_for(node, command)))
        assert isinstance(outcomes[0], Done)
        assert not isinstance(outcomes[0].result, Refused) or name == "Txn of nothing but compares"
        node.meter.reset()
        with node.meter.counting():
            node.meter.turn(outcomes.clear)  # the answer is let go, as after it was sent
        print(f"  let go: {node.meter.worst}")


def walk_unnoticed(store: KeyValueStore, name: str, command: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch, store) as node:
        node.hear(Heartbeat(1, 1))
        numbers = (MINE, next(SEQUENCES)) if isinstance(command, InSession) else (0, 0)
        heard = Entry(2, 1, EntryKind.WRITE, encode_write(command), 0, *numbers)
        check(name, node, lambda: hear_of(node, (heard,)))
        assert node.core.status(node.now).applied == 2


@pytest.mark.parametrize("name", [*KEEPING, pytest.param("Txn of nothing but compares", marks=pytest.mark.slowest)])
@pytest.mark.parametrize("walk", [walk_waiting, walk_unnoticed], ids=["waited for", "by itself"])
def test_a_command(
    name: str,
    walk: Callable[[KeyValueStore, str, Write, pytest.MonkeyPatch], None],
    store: KeyValueStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walk(store, name, KEEPING.get(name, NOTHING_BUT_COMPARES), monkeypatch)


@pytest.mark.parametrize("walk", [walk_waiting, walk_unnoticed], ids=["waited for", "by itself"])
def test_commands_about_users(
    walk: Callable[[KeyValueStore, str, Write, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = full_store(1_000)
    crowd(store.auth)
    for name, command in OF_USERS.items():
        walk(store, name, command, monkeypatch)
    assert (len(store.auth.users), store.auth.tokens, store.auth.enabled) == (USERS_MAX - 1, {}, False)


@pytest.mark.parametrize(
    "walk", [pytest.param(walk_waiting, marks=pytest.mark.longest), walk_unnoticed], ids=["waited for", "by itself"]
)
def test_commands_that_empty_the_store(
    walk: Callable[[KeyValueStore, str, Write, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = full_store()
    lease(store, 0)
    for name, command in REMOVING.items():
        walk(store, name, command, monkeypatch)
    assert store.key_count == 0


OTHERS: dict[str, tuple[Entry, ...]] = {
    "NOOP": tuple(Entry(2 + i, 1, EntryKind.NOOP) for i in range(1024)),
    "CONFIGURATION": tuple(Entry(2 + i, 1, EntryKind.CONFIGURATION, wide_configuration().encode()) for i in range(90)),
    "WRITE": tuple(entry(Put(b"key-%06d" % i, b"v" * 900), 2 + i) for i in range(1024)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_many_entries_of_a_kind(kind: str, store: KeyValueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch, store) as node:
        node.hear(Heartbeat(1, 1))
        check(kind, node, lambda: hear_of(node, OTHERS[kind]))


def test_all_sessions_in_one_snapshot_are_written_and_read_in_slices(store: KeyValueStore) -> None:
    meter, chunks = Meter(), list[bytes]()
    with meter.counting():
        job = meter.turn(store.begin_snapshot)
        while not (chunks and chunks[-1][2:10] == b"versions"):
            meter.turn(lambda: job.run(SNAPSHOT_WORK_PER_TURN_MAX))
            chunks += job.take()
        job.close()
        restore = store.begin_restore()
        for chunk in chunks:
            restore.feed(chunk)
            while not meter.turn(lambda: restore.run(RESTORE_WORK_PER_TURN_MAX)):
                pass
        restore.close()
        for _ in range(200):
            meter.turn(lambda: store.tidy(TIDY_WORK_PER_TURN_MAX))
    print(f"sessions: {meter.worst}, {meter.turns} turns, {len(chunks)} chunks")
    assert meter.worst.us <= TURN_US_MAX, str(meter.worst)


def test_every_kind_of_entry_and_of_command_has_a_case() -> None:
    assert set(OTHERS) == {kind.name for kind in EntryKind}
    assert {kind.__name__ for kind in get_args(Write)} == {name.split()[0] for name in (*KEEPING, *OF_USERS, *REMOVING)}
