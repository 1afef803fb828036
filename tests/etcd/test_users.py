"""Who asks, and with what: passwords beside the loop and in bounds, tokens that live by use, calls that ask who."""

import asyncio
import os
import threading
from base64 import b64encode
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from node.access.principals import ANYBODY, CURRENT, Claimant, ClusterUser, Principal, Role, with_roles
from node.addresses import ASKING, NOBODY
from node.api.etcd import passwords, tokens
from node.api.etcd.auth_calls import AuthCalls
from node.api.etcd.calls import EtcdCalls
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.lease_calls import LeaseCalls
from node.api.etcd.maintenance import MaintenanceCalls
from node.api.etcd.member_calls import MemberCalls
from node.api.etcd.passwords import Passwords
from node.api.etcd.watch_calls import WatchCalls
from node.api.quota import Quota
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from node.runtime.ports import NotProposed
from node.statemachine.auth import TOKEN_TTL_US
from node.statemachine.auth_writes import AuthEnable, Kind, LogOut, RoleAdd, RoleGrantPermission, UserGrantRole
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import decode_write
from tests.api.double import ScriptedNode
from tests.statemachine.snapshots import restore, snapshot


class Made:
    """A node whose users are in force: root, ann who has a*, and their tokens."""

    def __init__(self) -> None:
        self.node = ScriptedNode()
        trace = Trace("n1", "boot", lambda: 0)
        metrics = Metrics(self.node.status, trace, self.node.loop_age_us, self.node.store)
        self.slices = Slices()
        self.calls = EtcdCalls(self.node, self.node.store, metrics, lambda: 7, self.slices, Quota(self.node.store))
        self.auth = AuthCalls(self.calls)
        self.tokens: dict[str, str] = {}

    async def begin(self) -> "Made":
        for name in ("root", "ann"):
            await self.auth.user_add({"name": name, "password": f"{name}pw"}, 0)
        permission = RoleGrantPermission("a", Kind.READWRITE, b"a", b"b")
        self.node.do(RoleAdd("a"), permission, UserGrantRole("ann", "a"), UserGrantRole("root", "root"), AuthEnable())
        for name in ("root", "ann"):
            answer = await self.auth.authenticate({"name": name, "password": f"{name}pw"}, 0)
            self.tokens[name] = str(answer.fields["token"])
        return self

    def claimant(self, name: str) -> Claimant:
        return Claimant("", frozenset(), self.tokens.get(name, name))


async def as_whom(principal: Principal, call: Callable[[], Coroutine[Any, Any, object]]) -> str:
    """What it says to somebody: nothing, or its error."""
    before = CURRENT.set(principal)
    try:
        await call()
    except EtcdError as error:
        return error.message.removeprefix("etcdserver: ")
    finally:
        CURRENT.reset(before)
    return ""


# --- passwords -------------------------------------------------------------------------------------------------


async def test_a_thread_that_the_system_does_not_give_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are two places: two failures, and no password would be judged any more."""

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    made = Passwords()
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", none)
        for number in range(passwords.THREADS_MAX + 1):
            with pytest.raises(EtcdError, match="no password was judged: can't start new thread") as caught:
                await made.fits(f"x{number}", b"")
            assert caught.value.code is Code.UNAVAILABLE
    async with asyncio.timeout(30):
        assert not await made.fits("y", b"")


async def test_a_password_fits_its_hash_alone_and_each_hash_has_its_own_salt() -> None:
    made = Passwords()
    one, other = await made.hashed("secret"), await made.hashed("secret")
    assert one != other
    assert b"secret" not in one
    assert await made.fits("secret", one)
    assert await made.fits("secret", one), "as it is remembered"
    assert not await made.fits("Secret", one)
    assert not await made.fits("secret", b"")
    assert not await made.fits("s" * 1025, one)
    for broken in (b"scrypt$14$8$1$x$y", b"scrypt$60$8$1$eHh4$eHh4", b"md5$1", b"$$$$$"):
        assert not await made.fits("secret", broken)
    with pytest.raises(EtcdError, match="at most 1024 bytes"):
        await made.hashed("s" * 1025)


async def test_no_hash_is_made_by_the_loop_and_so_many_wait_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    by, go_on, running, most = set(), threading.Event(), [0], [0]

    def slow(*_costs: object) -> bytes:
        by.add(threading.current_thread())
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert go_on.wait(10.0)
        running[0] -= 1
        return b"k" * 32

    monkeypatch.setattr(passwords, "_scrypt", slow)
    made = Passwords()
    under_way = [asyncio.ensure_future(made.hashed("x")) for _ in range(passwords.WAITING_MAX)]
    await asyncio.sleep(0)
    under_way[-1].cancel()  # it waited, and makes room
    under_way[0].cancel()  # a thread has begun with it, so it makes none
    await asyncio.sleep(0)
    under_way.append(asyncio.ensure_future(made.hashed("x")))
    await asyncio.sleep(0)
    with pytest.raises(EtcdError, match="too many requests"):
        await made.hashed("x")
    go_on.set()
    done = await asyncio.gather(*under_way, return_exceptions=True)
    assert sum(isinstance(each, bytes) for each in done) == passwords.WAITING_MAX - 1
    assert most[0] == passwords.THREADS_MAX
    assert threading.main_thread() not in by
    assert await made.hashed("x")


async def test_whoever_tries_passwords_keeps_no_other_client_waiting_and_gives_way_to_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, priorities = threading.Event(), []

    def slow(*_costs: object) -> bytes:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert go_on.wait(10.0)
        return b"k" * 32

    monkeypatch.setattr(passwords, "_scrypt", slow)
    made, mine = Passwords(), os.getpriority(os.PRIO_PROCESS, 0)

    numbers = iter(range(100))

    def trying(whose: str) -> "asyncio.Task[bool]":
        before = ASKING.set(whose)
        task = asyncio.create_task(made.fits(f"x{next(numbers)}", b""))
        ASKING.reset(before)
        return task

    one = [trying("10.0.0.1") for _ in range(passwords.WAITING_OF_ONE_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(EtcdError, match="too many requests"):
        await trying("10.0.0.1")
    others = [trying(whose) for whose in ("10.0.0.2", NOBODY, NOBODY)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in others)
    go_on.set()
    assert not any(await asyncio.gather(*one, *others))
    assert await made.hashed("x")
    assert made._of == {}
    assert set(priorities) == {passwords.NICE}
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine


async def test_many_who_show_the_same_password_at_once_cost_one_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Passwords()
    kept, hashes, really = await made.hashed("secret"), [0], passwords._scrypt

    def counted(*costs: Any) -> bytes:
        hashes[0] += 1
        return really(*costs)

    monkeypatch.setattr(passwords, "_scrypt", counted)
    shown = [asyncio.create_task(made.fits("secret", kept)) for _ in range(3 * passwords.WAITING_MAX)]
    wrong = [asyncio.create_task(made.fits("wrong", kept)) for _ in range(3 * passwords.WAITING_MAX)]
    await asyncio.sleep(0)
    shown.pop().cancel()
    assert all(await asyncio.gather(*shown))
    assert not any(await asyncio.gather(*wrong))
    assert hashes == [2]
    assert made._checking == {}


# --- tokens ----------------------------------------------------------------------------------------------------


async def test_a_token_lives_as_long_as_it_is_used_and_five_minutes_more() -> None:
    made = await Made().begin()
    find, token = made.calls.users.tokens.find, made.tokens["ann"]
    for _ in range(3):
        made.node.log_time += TOKEN_TTL_US - 1
        assert find(token) is not None
    made.node.log_time += TOKEN_TTL_US + 1
    assert find(token) is None
    assert find(made.tokens["root"]) is None
    for wrong in ("", "x", "x.y", token.partition(".")[0], f"{token}.1", f"x{token}", "x" * 200 + ".1"):
        assert find(wrong) is None, wrong


async def test_a_node_remembers_so_many_tokens_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "IN_USE_MAX", 1)
    made = await Made().begin()
    find = made.calls.users.tokens.find
    made.node.log_time += TOKEN_TTL_US - 1
    assert find(made.tokens["ann"]) is not None
    assert find(made.tokens["root"]) is not None
    made.node.log_time += 10
    assert find(made.tokens["ann"]) is None, "it gave way"
    assert find(made.tokens["root"]) is not None


async def test_a_token_that_is_given_back_is_nobodys_at_once_and_costs_an_entry_only_where_it_was_good() -> None:
    made = await Made().begin()
    users, token, other = made.calls.users, made.tokens["ann"], made.tokens["root"]
    version, before = users.version, len(made.node.proposed)
    for wrong in ("", "x", "x.1", "x.99999999", f"x{token}", "Basic YW5uOmFubnB3"):
        await made.auth.log_out(wrong)
    assert (users.version, len(made.node.proposed)) == (version, before), "who shows nothing makes nothing"
    await made.auth.log_out(token)
    secret = token.partition(".")[0]
    for shown in (token, f"{secret}.1", f"{secret}.99999999"):
        assert users.tokens.find(shown) is None
        assert users.has_left(shown)
    assert users.version > version
    assert users.tokens.find(other) is not None
    assert len(made.node.proposed) == before + 1
    await made.auth.log_out(token)
    assert len(made.node.proposed) == before + 1


async def test_a_token_is_given_back_at_every_node_by_its_entry_also_where_it_is_known_by_use_alone() -> None:
    made = await Made().begin()
    find, token = made.calls.users.tokens.find, made.tokens["ann"]
    for _ in range(3):
        made.node.log_time += TOKEN_TTL_US - 1
        assert find(token) is not None
    version = made.calls.users.version
    made.node.do(LogOut(tokens.digest_of(token.partition(".")[0])))  # another node was told
    assert find(token) is None
    assert made.calls.users.version > version


async def test_a_node_that_took_a_snapshot_over_asks_again_who_was_there_before() -> None:
    """What was given back meanwhile is not in the snapshot, nor is what only its use kept good."""
    made = await Made().begin()
    find, token = made.calls.users.tokens.find, made.tokens["ann"]
    made.node.log_time += TOKEN_TTL_US - 1
    assert find(token) is not None
    store = KeyValueStore()
    restore(store, snapshot(made.node.store))
    made.node.do(LogOut(tokens.digest_of(token.partition(".")[0])))
    behind = tokens.Tokens(lambda: store.auth, made.node.log_time_us, os.urandom)
    assert behind.find(token) is not None
    restore(store, snapshot(made.node.store))
    assert behind.find(token) is None


async def test_a_logout_of_which_no_quorum_hears_holds_at_this_node(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await Made().begin()
    monkeypatch.setattr(tokens, "GIVEN_BACK_MAX", 1)
    made.node.outcome = NotProposed("no-leader", "there is no leader")
    find = made.calls.users.tokens.find
    with pytest.raises(EtcdError):
        await made.auth.log_out(made.tokens["ann"])
    assert find(made.tokens["ann"]) is None
    with pytest.raises(EtcdError):
        await made.auth.log_out(made.tokens["root"])
    assert find(made.tokens["root"]) is None
    assert find(made.tokens["ann"]) is not None, "so many are remembered, while no quorum hears of any"


async def test_the_log_has_neither_password_nor_token() -> None:
    made = await Made().begin()
    secrets = ["rootpw", "annpw", *(token.partition(".")[0] for token in made.tokens.values())]
    assert len(made.node.proposed) >= 4
    for data in made.node.proposed:
        assert not any(secret.encode() in data for secret in secrets), decode_write(data)


# --- who asks --------------------------------------------------------------------------------------------------


async def test_every_call_asks_who_it_is() -> None:
    """The cure of what etcd 3.6.8 lets anybody do: nobody gets an answer without a name."""
    made = await Made().begin()
    node, calls = made.node, made.calls
    leases = LeaseCalls(calls, node.store, made.slices, lambda: 0)
    members, upkeep = MemberCalls(node, calls), MaintenanceCalls(node, node.store, calls, made.slices)
    of_everybody: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: calls.compact({"revision": -1}, 0),
        lambda: leases.grant({"TTL": 60}, 0),
        lambda: leases.leases({}, 0),
        lambda: leases.time_to_live({"ID": 7}, 0),
        lambda: leases.keep_alive({"ID": 7}, 0),
        lambda: leases.revoke({"ID": 7}, 0),
        lambda: members.list({}, 0),
        lambda: upkeep.alarm({}, 0),
    ]
    of_root: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: calls.status({}, 0),
        lambda: members.add({}, 0),
        lambda: members.remove({"ID": 7}, 0),
        lambda: members.promote({"ID": 7}, 0),
        lambda: members.update({"ID": 7}, 0),
        lambda: upkeep.alarm({"action": 1}, 0),
        lambda: upkeep.alarm({"action": 2}, 0),
        lambda: upkeep.defragment({}, 0),
        lambda: upkeep.hash({}, 0),
        lambda: upkeep.hash_kv({}, 0),
        lambda: upkeep.snapshot({}, 0),
        lambda: upkeep.move_leader({}, 0),
        lambda: made.auth.status({}, 0),
        lambda: made.auth.user_list({}, 0),
        lambda: made.auth.role_list({}, 0),
        lambda: made.auth.user_get({"name": "root"}, 0),
        lambda: made.auth.role_get({"role": "root"}, 0),
        lambda: made.auth.user_add({"name": "x", "password": "y"}, 0),
        lambda: made.auth.disable({}, 0),
    ]
    of_keys: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: calls.range({"key": b"x"}, 0),
        lambda: calls.range({"key": b"a", "range_end": b"\0", "serializable": True}, 0),
        lambda: calls.put({"key": b"x"}, 0),
        lambda: calls.delete_range({"key": b"x"}, 0),
        lambda: calls.txn({"success": [{"request_range": {"key": b"x"}}]}, 0),
        lambda: calls.txn({"success": [{"request_txn": {"failure": [{"request_put": {"key": b"x"}}]}}]}, 0),
    ]
    nobody = Claimant("", frozenset())
    for call in (*of_everybody, *of_root, *of_keys):
        assert await as_whom(nobody, call) == "user name is empty"
        assert await as_whom(made.claimant("wrong.0"), call) == "invalid auth token"
        assert "ask again, and show who you are" in await as_whom(ANYBODY, call), "who came before users were in force"
    for call in (*of_root, *of_keys):
        assert await as_whom(made.claimant("ann"), call) == "permission denied"
    for call in of_everybody:
        assert await as_whom(made.claimant("ann"), call) not in ("permission denied", "user name is empty")
    for principal in (made.claimant("root"), with_roles("of the file", *Role), ClusterUser("root", frozenset(), 2)):
        for call in of_keys:
            assert await as_whom(principal, call) == "", principal


async def test_a_watch_is_of_keys_that_one_may_read() -> None:
    made = await Made().begin()
    watches = WatchCalls(made.node, made.node.hub, made.calls.users)

    def told(principal: Principal, **create: object) -> str:
        before = CURRENT.set(principal)
        stream = watches.open(lambda: None)
        try:
            watches.ask(stream, {"create_request": create})
            (response,) = stream.take(1000)
            assert response.created
            assert response.canceled is bool(response.cancel_reason)
            return response.cancel_reason
        finally:
            stream.close()
            CURRENT.reset(before)

    denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    assert told(made.claimant("ann"), key=b"a", range_end=b"b") == ""
    assert told(made.claimant("ann"), key=b"a", range_end=b"\0") == denied, "3.6.8 let her: GHSA-xg4h-6gfc-h4m8"
    assert told(made.claimant("ann")) == denied
    assert told(made.claimant("root")) == ""
    assert told(Claimant("", frozenset()), key=b"a").endswith("desc = etcdserver: user name is empty")
    assert told(made.claimant("wrong.0"), key=b"a").endswith(
        "code = Unauthenticated desc = etcdserver: invalid auth token"
    )


async def test_whoever_waits_for_a_token_that_may_still_come_asks_the_others_once() -> None:
    made = await Made().begin()
    later = made.claimant("x" * 24 + ".999999999")
    barriers = made.node.barriers
    assert await as_whom(later, lambda: made.calls.put({"key": b"a"}, 0)) == "invalid auth token"
    assert made.node.barriers == barriers + 1


async def test_a_name_that_nobody_has_costs_a_hash_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await Made().begin()
    asked: list[bytes] = []

    async def fits(_self: Passwords, _password: str, kept: bytes) -> bool:
        asked.append(kept)
        return False

    monkeypatch.setattr(Passwords, "fits", fits)
    for name in ("ann", "nobody"):
        with pytest.raises(EtcdError) as failed:
            await made.auth.authenticate({"name": name, "password": "x"}, 0)
        assert failed.value.code is Code.INVALID_ARGUMENT
    assert asked == [made.node.store.auth.users["ann"].password, b""]


async def test_each_wrong_password_is_told_with_the_name_of_a_user_and_with_no_other_word() -> None:
    made, told = await Made().begin(), list[str]()
    made.calls.users.login_failed = told.append
    for name, password in (("ann", "annpw"), ("ann", "wrong"), ("annpw", "ann")):
        with suppress(EtcdError):
            await made.auth.authenticate({"name": name, "password": password}, 0)
    assert await made.calls.users.proved(f"Basic {b64encode(b'ann:annpw').decode()}") is not None
    assert await made.calls.users.proved(f"Basic {b64encode(b'ann:wrong').decode()}") is None
    bob = {"name": "bob", "options": {"no_password": True}}
    assert not await as_whom(with_roles("operator", Role.OPERATE), lambda: made.auth.user_add(bob, 0))
    with pytest.raises(EtcdError, match="no password user"):
        await made.auth.authenticate({"name": "bob", "password": "wrong"}, 0)
    assert told == ["ann", "", "ann", "bob"]
