"""Users, roles and permissions: against a naive judge, at their bounds, and in every slice and snapshot."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import Entry, EntryKind
from node.statemachine import auth as bounds
from node.statemachine.auth import TOKEN_TTL_US, Auth, Permission, Role, Spans
from node.statemachine.auth_writes import (
    AsUser,
    AuthDisable,
    AuthDone,
    AuthEnable,
    AuthWrite,
    Kind,
    LoggedIn,
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
from node.statemachine.describe import describe
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import (
    Branches,
    Compact,
    Compare,
    DeleteRange,
    InSession,
    LeaseExpire,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseKept,
    LeaseRevoke,
    LeaseRevoked,
    Nested,
    Put,
    PutResult,
    Range,
    Refused,
    Register,
    Relation,
    Result,
    Target,
    Txn,
    TxnResult,
    Write,
    as_user,
    decode_write,
    encode_write,
)
from tests.statemachine.auth_model import LETTERS, Naive
from tests.statemachine.small import small_pieces
from tests.statemachine.snapshots import chunks_of, restore, restored, snapshot

HASH = b"hash of a password"
SECRET = b"\x07" * 32

USERS = st.sampled_from(["root", "ann", "bob", ""])
ROLES = st.sampled_from(["root", "reader", "writer", ""])
KEYS = st.sampled_from(LETTERS)
ENDS = st.sampled_from([b"", b"", b"\0", *LETTERS[1:], b"z"])
changes: st.SearchStrategy[AuthWrite] = st.one_of(
    st.just(AuthEnable()),
    st.just(AuthDisable()),
    st.builds(UserAdd, USERS, st.just(HASH)),
    st.builds(UserDelete, USERS),
    st.builds(UserPassword, USERS, st.just(HASH)),
    st.builds(UserGrantRole, USERS, ROLES),
    st.builds(UserRevokeRole, USERS, ROLES),
    st.builds(RoleAdd, ROLES),
    st.builds(RoleDelete, ROLES),
    st.builds(RoleGrantPermission, ROLES, st.sampled_from(Kind), KEYS, ENDS),
    st.builds(RoleRevokePermission, ROLES, KEYS, ENDS),
)


def ascending(operation: DeleteRange | Range | Compare) -> bool:
    return operation.range_end in (b"", b"\0") or operation.key < operation.range_end


puts = st.builds(Put, KEYS, st.just(b"v"), st.just(0), st.booleans())
deletes = st.builds(DeleteRange, KEYS, ENDS, st.booleans()).filter(ascending)
ranges = st.builds(Range, KEYS, ENDS).filter(ascending)
compares = st.builds(Compare, KEYS, st.just(Target.VERSION), st.just(Relation.GREATER), st.just(0), ENDS).filter(
    ascending
)
one_of_each = st.tuples(
    st.lists(compares, max_size=2).map(tuple),
    st.lists(ranges, max_size=2).map(tuple),
    st.lists(puts, max_size=1).map(tuple),
)
txns = st.one_of(
    st.builds(lambda parts: Txn(*parts), one_of_each),
    st.builds(lambda parts, inner: Txn(parts[0], (Nested(0),), (), (Branches(*inner),)), one_of_each, one_of_each),
)
writes: st.SearchStrategy[Put | DeleteRange | Txn] = st.one_of(puts, deletes, txns)
SETTING_UP: list[AuthWrite] = [
    *(UserAdd(name, HASH) for name in ("root", "ann", "bob")),
    *(RoleAdd(name) for name in ("reader", "writer")),
    UserGrantRole("root", "root"),
    UserGrantRole("ann", "reader"),
    UserGrantRole("bob", "writer"),
    UserGrantRole("bob", "reader"),
]


def entries(given_writes: Sequence[Write | bytes], first: int = 1) -> list[Entry]:
    data = [each if isinstance(each, bytes) else encode_write(each) for each in given_writes]
    return [Entry(i, 1, EntryKind.WRITE, each, i * 1_000) for i, each in enumerate(data, first)]


def apply(store: KeyValueStore, *given_writes: Write | bytes) -> list[Result | None]:
    return store.apply(entries(given_writes))


def bytes_of(role: Role) -> int:
    return sum(len(each.key + each.range_end) for each in role.permissions)


def code_of(result: Result | None) -> str:
    return result.code if isinstance(result, Refused) else ""


def asked(store: KeyValueStore, user: str, write: Write) -> bytes:
    """For a user as they are now; without one, bare."""
    if not user:
        return encode_write(write)
    found = store.auth.users.get(user)
    return as_user(user, found.since if found else 0, encode_write(write))


@settings(max_examples=250, deadline=None)
@given(st.lists(changes, max_size=14), st.booleans(), st.lists(st.tuples(USERS, writes), min_size=1, max_size=10))
def test_who_may_what_is_what_a_naive_judge_says(
    script: list[AuthWrite], enabled: bool, then: list[tuple[str, Put | DeleteRange | Txn]]
) -> None:
    store, naive = KeyValueStore(), Naive()
    for change in [*SETTING_UP, *([AuthEnable()] if enabled else []), *script]:
        before = store.digest()
        (result,) = apply(store, asked(store, "root", change))
        assert code_of(result) == naive.administer("root", change), change
        assert isinstance(result, AuthDone) or store.digest() == before
    assert store.auth.enabled is naive.on
    assert set(store.auth.users) == set(naive.users)
    assert store.auth.permissions_bytes == sum(map(bytes_of, store.auth.roles.values()))
    for user, write in then:
        before = store.digest()
        (result,) = apply(store, asked(store, user, write))
        assert code_of(result) == naive.may_do(user, naive.users.get(user, 0), write), (user, write)
        assert not isinstance(result, Refused) or store.digest() == before


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(USERS, changes), max_size=12))
def test_only_root_changes_users_once_they_are_in_force(script: list[tuple[str, AuthWrite]]) -> None:
    store, naive = KeyValueStore(), Naive()
    for change in (*SETTING_UP, AuthEnable()):
        apply(store, asked(store, "root", change))
        naive.administer("root", change)
    for user, change in script:
        (result,) = apply(store, asked(store, user, change))
        assert code_of(result) == naive.administer(user, change), (user, change)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(changes, writes, st.tuples(USERS, writes)), max_size=25),
    st.lists(st.integers(1, 30), min_size=1, max_size=30),
)
def test_slices_and_snapshots_change_nothing(script: list[object], works: list[int]) -> None:
    given_writes: list[Write | bytes] = [*SETTING_UP, AuthEnable()]
    for each in script:
        if isinstance(each, tuple):
            given_writes.append(as_user(each[0], 2, encode_write(each[1])))
        else:
            given_writes.append(as_user("root", 2, encode_write(each)))  # type: ignore[arg-type]
    with small_pieces():
        whole, sliced = KeyValueStore(), KeyValueStore()
        expected = apply(whole, *given_writes)
        job = sliced.begin(entries(given_writes), lambda _index: True)
        turn = 0
        while not job.run(works[turn % len(works)]):
            turn += 1
        assert [job.results.get(i) for i in range(1, len(given_writes) + 1)] == expected
        assert sliced.digest() == whole.digest()
        chunks = snapshot(whole)
        assert chunks_of(sliced.begin_snapshot(), 3) == chunks
        again = restored(chunks)
        assert again.digest() == whole.digest()
        assert snapshot(again) == chunks
        assert again.auth.everything() == whole.auth.everything()
        assert (again.auth.enabled, again.auth.era) == (whole.auth.enabled, whole.auth.era)


# --- one by one ------------------------------------------------------------------------------------------------


def in_force(*more: AuthWrite) -> KeyValueStore:
    """Of `ann`, who reads and writes [a, c), and root."""
    store = KeyValueStore()
    permissions = [RoleGrantPermission("writer", Kind.READWRITE, b"a", b"c")]
    for change in (*SETTING_UP, *permissions, UserGrantRole("ann", "writer"), *more, AuthEnable()):
        assert code_of(apply(store, change)[0]) == "", change
    return store


def test_a_log_from_before_there_were_users_reads_as_ever_and_its_snapshot_too() -> None:
    store = KeyValueStore()
    apply(store, Put(b"k", b"v"))
    assert not any(b"auth" in chunk for chunk in snapshot(store))
    assert store.auth.is_blank


def test_the_log_format_does_not_change() -> None:
    """A write is in the log for ever: these very bytes must stay readable."""
    written: dict[str, Write] = {
        "94a161a3616e6e07c401ff": AsUser("ann", 7, b"\xff"),
        "91a26165": AuthEnable(),
        "91a26164": AuthDisable(),
        "94a27561a3616e6ec40168c2": UserAdd("ann", b"h"),
        "92a27564a3616e6e": UserDelete("ann"),
        "93a27570a3616e6ec40168": UserPassword("ann", b"h"),
        "93a27567a3616e6ea172": UserGrantRole("ann", "r"),
        "93a27572a3616e6ea172": UserRevokeRole("ann", "r"),
        "92a27261a172": RoleAdd("r"),
        "92a27264a172": RoleDelete("r"),
        "95a27267a17202c40161c40163": RoleGrantPermission("r", Kind.READWRITE, b"a", b"c"),
        "94a27272a172c40161c40163": RoleRevokePermission("r", b"a", b"c"),
        "94a26c69a3616e6e07c40164": LogIn("ann", 7, b"d"),
        "92a26c6fc40164": LogOut(b"d"),
    }
    assert {encode_write(write).hex(): write for write in written.values()} == written
    assert [decode_write(bytes.fromhex(data)) for data in written] == list(written.values())


def test_a_permission_that_was_taken_away_meanwhile_is_not_used() -> None:
    """The write was proposed before, and its turn comes after."""
    store = in_force()
    proposed = asked(store, "ann", Put(b"a", b"1"))
    assert code_of(apply(store, proposed)[0]) == ""
    apply(store, asked(store, "root", RoleRevokePermission("writer", b"a", b"c")))
    assert code_of(apply(store, proposed)[0]) == "permission-denied"


def test_another_password_makes_who_asked_before_another() -> None:
    store = in_force()
    proposed = asked(store, "ann", Put(b"a", b"1"))
    apply(store, asked(store, "root", UserPassword("ann", b"other")))
    assert code_of(apply(store, proposed)[0]) == "auth-old-revision"
    proposed = asked(store, "ann", Put(b"a", b"1"))
    apply(store, asked(store, "root", UserDelete("ann")))
    assert code_of(apply(store, proposed)[0]) == "permission-denied"
    apply(store, asked(store, "root", UserAdd("ann", HASH)), asked(store, "root", UserGrantRole("ann", "writer")))
    assert code_of(apply(store, proposed)[0]) == "auth-old-revision"


def test_whoever_names_no_user_does_nothing_but_what_nodes_do_themselves() -> None:
    store = in_force()
    bare: list[Write] = [
        Put(b"a", b""),
        DeleteRange(b"a"),
        Txn(),
        Txn((), (Put(b"a", b""),)),
        LeaseGrant(7, 60),
        LeaseRevoke(7),
    ]
    codes = [code_of(result) for result in apply(store, *bare, LeaseKeepAlive(7))]
    assert codes == ["user-empty", "user-empty", "", "user-empty", "user-empty", "user-empty", "user-empty"]
    by_nodes = apply(store, LeaseExpire(), Compact(1), Register(1))
    assert not any(isinstance(result, Refused) for result in by_nodes)
    assert code_of(apply(store, as_user("", 0, encode_write(Put(b"z", b""))))[0]) == ""


def test_a_user_asks_for_no_other() -> None:
    store = in_force()
    inner = asked(store, "root", Put(b"z", b""))
    assert code_of(apply(store, as_user("ann", store.auth.users["ann"].since, inner))[0]) == "malformed"
    session = encode_write(InSession(0, inner))
    opened = asked(store, "ann", Register(10**9))
    register, _ = store.apply([Entry(9, 1, EntryKind.WRITE, opened, 1), *entries([b""], 10)])
    del register
    entry = Entry(11, 1, EntryKind.WRITE, as_user("ann", store.auth.users["ann"].since, session), 2, 9, 1)
    assert code_of(store.apply([entry])[0]) == "malformed"


def test_whoever_may_not_write_all_keys_of_a_lease_may_neither_end_nor_keep_nor_use_it() -> None:
    store = in_force()

    def root(write: Write) -> bytes:
        return asked(store, "root", write)

    def ann(write: Write) -> bytes:
        return asked(store, "ann", write)

    apply(store, root(LeaseGrant(7, 60)), root(Put(b"a", b"", 7)))
    assert isinstance(apply(store, ann(LeaseKeepAlive(7)))[0], LeaseKept)
    assert code_of(apply(store, ann(Put(b"b", b"", 7)))[0]) == ""
    apply(store, root(Put(b"z", b"", 7)))
    refused: list[Write] = [LeaseKeepAlive(7), LeaseRevoke(7), Put(b"b", b"", 7), Txn((), (Put(b"b", b"", 7),))]
    assert [code_of(each) for each in apply(store, *map(ann, refused))] == ["permission-denied"] * 4
    assert isinstance(apply(store, root(LeaseRevoke(7)))[0], LeaseRevoked)


def test_a_lease_that_is_not_there_is_not_found_by_a_user() -> None:
    store = in_force()
    assert code_of(apply(store, asked(store, "ann", LeaseRevoke(404)))[0]) == "lease-not-found"
    assert code_of(apply(store, asked(store, "ann", Put(b"a", b"", 404)))[0]) == "lease-not-found"


def test_what_was_refused_for_who_asked_is_done_when_it_comes_again_and_may() -> None:
    store = in_force()
    store.apply([Entry(20, 1, EntryKind.WRITE, asked(store, "ann", Register(10**9)), 1)])
    inner = encode_write(InSession(0, encode_write(Put(b"d", b"1"))))

    def again() -> Result | None:
        data = as_user("ann", store.auth.users["ann"].since, inner)
        return store.apply([Entry(21, 1, EntryKind.WRITE, data, 2, 20, 1)])[0]

    assert code_of(again()) == "permission-denied"
    apply(store, asked(store, "root", RoleGrantPermission("writer", Kind.WRITE, b"d")))
    first = again()
    assert isinstance(first, PutResult)
    assert again() == first
    assert store.revision == first.revision
    apply(store, asked(store, "root", RoleRevokePermission("writer", b"d")))
    assert code_of(again()) == "permission-denied", "whoever may not do it is not told what it said"


def test_a_transaction_is_judged_by_all_of_it_also_by_what_is_not_taken_or_nested() -> None:
    store = in_force()
    mine, other = Put(b"a", b""), Put(b"z", b"")
    never = Compare(b"a", Target.VERSION, Relation.LESS, 0)
    hidden = Txn((), (Nested(0),), (), (Branches((never,), (other,), (mine,)),))
    for txn in (Txn((), (mine,), (other,)), hidden, Txn((Compare(b"z", Target.VERSION, Relation.EQUAL, 0),), (mine,))):
        assert code_of(apply(store, asked(store, "ann", txn))[0]) == "permission-denied"
    assert isinstance(apply(store, asked(store, "ann", Txn((never,), (mine,), ())))[0], TxnResult)


def test_whoever_may_only_write_is_not_told_what_was_there() -> None:
    store = in_force(RoleGrantPermission("writer", Kind.WRITE, b"x"))
    may: list[Write] = [Put(b"x", b""), DeleteRange(b"x"), Txn((), (Put(b"x", b""),))]
    assert [code_of(each) for each in apply(store, *(asked(store, "ann", write) for write in may))] == [""] * 3
    told: list[Write] = [
        Put(b"x", b"", prev_kv=True),
        DeleteRange(b"x", prev_kv=True),
        Txn((), (Put(b"x", b"", prev_kv=True),)),
    ]
    refused = apply(store, *(asked(store, "ann", write) for write in told))
    assert [code_of(each) for each in refused] == ["permission-denied"] * 3


def test_permissions_join_where_they_touch() -> None:
    spans = Spans([(b"c", b"e"), (b"a", b"c"), (b"x", b"x\0")])
    assert spans.cover(b"a", b"e")
    assert spans.cover(b"d", b"")
    assert spans.cover(b"x", b"x\0")
    assert not spans.cover(b"a", b"f")
    assert not spans.cover(b"a", b"\0")
    assert not spans.cover(b"e", b"")
    assert not spans.cover(b"\0", b"b")
    assert Spans([(b"a", b"c"), (b"b", None), (b"d", b"e")]).cover(b"a", b"\0")


def test_permissions_stand_in_the_order_of_their_keys_as_etcd_lists_them() -> None:
    store = KeyValueStore()
    grants = [(b"b", b""), (b"a", b"c"), (b"b", b"c"), (b"b", b""), (b"b", b"c")]
    apply(store, RoleAdd("r"), *(RoleGrantPermission("r", Kind.READ, key, end) for key, end in grants))
    told = [(each.key, each.range_end) for each in store.auth.roles["r"].permissions]
    assert told == [(b"a", b"c"), (b"b", b""), (b"b", b"c"), (b"b", b"c")], "etcd knows the first of a key alone"


def test_a_token_is_good_for_its_time_and_ends_with_password_user_and_force() -> None:
    store = in_force()
    since = store.auth.users["ann"].since
    (told,) = store.apply([Entry(50, 1, EntryKind.WRITE, encode_write(LogIn("ann", since, SECRET)), 1_000)])
    assert told == LoggedIn(store.revision, 50)
    auth = store.auth
    known = auth.user_of(SECRET, 1_000 + TOKEN_TTL_US)
    assert known is not None
    assert known.name == "ann"
    assert auth.user_of(SECRET, 1_001 + TOKEN_TTL_US) is None
    assert auth.user_of(b"\x08" * 32, 1_000) is None
    assert code_of(apply(store, LogIn("ann", since, SECRET))[0]) == "auth-failed", "nobody gets another's token"
    apply(store, asked(store, "root", UserPassword("ann", b"other")))
    assert auth.user_of(SECRET, 1_000) is None
    assert code_of(apply(store, LogIn("ann", since, b"\x09" * 32))[0]) == "auth-failed"
    apply(store, LogIn("ann", auth.users["ann"].since, b"\x09" * 32), asked(store, "root", AuthDisable()), AuthEnable())
    assert auth.user_of(b"\x09" * 32, 1_000) is None
    assert auth.era == auth.revision


def test_a_token_that_was_given_back_is_nobodys_and_stays_so_over_a_snapshot() -> None:
    store = in_force()
    apply(store, LogIn("ann", store.auth.users["ann"].since, SECRET), LogOut(b"\x08" * 32))
    assert store.auth.user_of(SECRET, 0) is not None
    before = store.auth.revision
    assert code_of(apply(store, LogOut(b"short"))[0]) == "malformed"
    apply(store, LogOut(SECRET))
    assert store.auth.user_of(SECRET, 0) is None
    assert store.auth.revision == before, "nobody else has to prove anything anew"
    assert restored(snapshot(store)).auth.tokens == {}
    restore(store, snapshot(in_force()))
    assert SECRET in store.auth.logged_out


def test_so_many_tokens_that_were_given_back_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LOGGED_OUT_MAX", 2)
    store = in_force()
    apply(store, *(LogOut(bytes([i]) * 32) for i in range(4)))
    assert [digest[0] for digest in store.auth.logged_out] == [2, 3]
    assert store.auth.log_outs == 4


def test_tokens_are_bounded_and_those_that_are_over_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "TOKENS_MAX", 3)
    store = in_force()
    since = store.auth.users["ann"].since
    digests = [bytes([i]) * 32 for i in range(5)]
    for i, digest in enumerate(digests):
        store.apply([Entry(60 + i, 1, EntryKind.WRITE, encode_write(LogIn("ann", since, digest)), i)])
    assert list(store.auth.tokens) == digests[2:]
    late = Entry(70, 1, EntryKind.WRITE, encode_write(LogIn("ann", since, SECRET)), TOKEN_TTL_US + 4)
    store.apply([late])
    assert list(store.auth.tokens) == [digests[4], SECRET]


def test_users_roles_names_and_permissions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from node.statemachine import authorizing

    for name, value in {"USERS_MAX": 2, "ROLES_MAX": 3, "ROLES_PER_USER_MAX": 1, "PERMISSIONS_PER_ROLE_MAX": 2}.items():
        monkeypatch.setattr(authorizing, name, value)
    monkeypatch.setattr(authorizing, "PERMISSIONS_BYTES_MAX", 100)
    store = KeyValueStore()

    def done(write: AuthWrite) -> str:
        return code_of(apply(store, write)[0])

    assert [done(UserAdd(name, HASH)) for name in "abc"] == ["", "", "auth-full"]
    assert [done(RoleAdd(name)) for name in "rstu"] == ["", "", "", "auth-full"]
    assert [done(UserGrantRole("a", role)) for role in "rrs"] == ["", "", "auth-full"]
    grants = [RoleGrantPermission("r", Kind.READ, key) for key in (b"1", b"2", b"2", b"3")]
    assert [done(grant) for grant in grants] == ["", "", "", "auth-full"]
    assert done(RoleGrantPermission("s", Kind.READ, b"k" * 90)) == ""
    assert done(RoleGrantPermission("t", Kind.READ, b"k" * 90)) == "auth-full"
    assert done(RoleGrantPermission("t", Kind.READ, b"k" * 8193)) == "auth-full"
    assert done(UserPassword("a", b"x" * 1025)) == "malformed"
    assert done(UserDelete("b")) == ""
    assert done(UserAdd("é" * 129, HASH)) == "auth-full"
    assert done(UserAdd("é" * 128, HASH)) == ""


def test_who_has_no_password_keeps_none() -> None:
    store = KeyValueStore()
    apply(store, UserAdd("cert", b"", True), UserPassword("cert", b"hash"))
    assert store.auth.users["cert"].password == b""


@pytest.mark.parametrize(
    "change",
    [
        lambda auth: auth.roles.pop("writer"),
        lambda auth: auth.users.pop("root"),
        lambda auth: auth.roles.update(z=Role("z", (Permission(Kind.READ, b"b"), Permission(Kind.READ, b"a")))),
        lambda auth: auth.roles.update(z=Role("z" * 300)),
        lambda auth: setattr(auth, "era", auth.revision + 1),
    ],
)
def test_a_snapshot_whose_users_cannot_be_is_refused(change: object) -> None:
    store = in_force()
    assert callable(change)
    change(store.auth)
    with pytest.raises(ValueError, match=r"snapshot|store"):
        restored(snapshot(store))


@pytest.mark.parametrize("name", [b"auth-roles", b"auth-users", b"auth-tokens"])
def test_a_snapshot_without_a_part_of_its_users_is_refused(name: bytes) -> None:
    store = in_force()
    apply(store, LogIn("ann", store.auth.users["ann"].since, SECRET))
    chunks = snapshot(store)
    with pytest.raises(ValueError, match="snapshot"):
        restored(chunk for chunk in chunks if chunk[2 : 2 + len(name)] != name)
    twice = [chunk for chunk in chunks for _ in range(1 + (chunk[2 : 2 + len(name)] == name))]
    with pytest.raises(ValueError, match="snapshot"):
        restored(twice)


def test_the_largest_state_fits_into_the_chunks_of_a_snapshot() -> None:
    store = KeyValueStore()
    auth: Auth = store.auth
    roles = [f"{i:0{bounds.NAME_BYTES_MAX}}" for i in range(bounds.ROLES_PER_USER_MAX)]
    keys = [bytes([i // 16 + 1, i % 16]) + b"k" * 8190 for i in range(bounds.PERMISSIONS_PER_ROLE_MAX)]
    for name in roles:
        permissions = (Permission(Kind.READ, keys[0]),)
        auth.put_role(Role(name, permissions))
    auth.put_role(Role("~", tuple(Permission(Kind.READ, key, b"\xff" * 8192) for key in keys)))
    for i in range(bounds.USERS_MAX):
        user = bounds.User(f"{i:0{bounds.NAME_BYTES_MAX}}", b"h" * bounds.HASH_BYTES_MAX, False, 1, tuple(roles))
        auth.users[user.name] = user
    auth.revision = 2
    again = restored(snapshot(store)).auth
    assert again.everything() == auth.everything()
    assert again.permissions_bytes == auth.permissions_bytes == sum(map(bytes_of, auth.roles.values()))


def test_a_log_shows_names_and_keys_and_no_hash() -> None:
    shown = {
        as_user("ann", 2, encode_write(Put(b"a", b"1"))): "put a (1 bytes), for the user ann",
        as_user("", 0, encode_write(InSession(0, encode_write(Put(b"a", b"1"))))): "put a (1 bytes), once",
        encode_write(UserAdd("ann", b"a hash")): "add user ann",
        encode_write(UserPassword("ann", b"a hash")): "change the password of user ann",
        encode_write(LogIn("ann", 2, SECRET)): "user ann has logged in",
        encode_write(LogOut(SECRET)): "a user has logged out",
        encode_write(RoleGrantPermission("r", Kind.WRITE, b"a", b"\0")): "permit role r to write a to \\x00",
    }
    assert {data: describe(Entry(1, 1, EntryKind.WRITE, data)) for data in shown} == shown
    every: list[Write] = [
        *SETTING_UP,
        AuthEnable(),
        AuthDisable(),
        UserDelete("a"),
        UserRevokeRole("a", "r"),
        RoleDelete("r"),
    ]
    told = [describe(Entry(1, 1, EntryKind.WRITE, encode_write(write))) for write in every]
    assert not any("cannot read" in line or "hash" in line for line in told)
