"""A node that has not applied yet that the cluster has users: nobody uses it as a way round them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from node.access.principals import ANYBODY
from node.api import inputs
from node.api.etcd.maintenance import MaintenanceCalls
from node.api.etcd.member_calls import MemberCalls
from node.runtime.commands import COMMANDS
from node.runtime.ports import CommandOutcome, LogLine, ReadFailed, Readiness
from node.statemachine.auth_writes import AuthEnable, UserGrantRole
from node.statemachine.writes import Put
from tests.access.double import Served, served
from tests.api.double import ScriptedBackup
from tests.api.test_express import connected, request
from tests.etcd.test_users import Made, as_whom
from tests.grpc.client import client
from tests.grpc.test_services import refused

ROOT = aiohttp.encode_basic_auth("root", "pw")
AGAIN = "users were put in force after this was asked: ask again, and show who you are"
"""Whoever asked may have shown something, which nobody looked at."""
WAYS = ("remove_member", "remove_member?node=n1", "recover?node=n2", "trigger_election?node=n2", "trigger_election")
LEADERLESS = ReadFailed("no-leader", "no leader is known")


@pytest.fixture
async def behind() -> AsyncIterator[Served]:
    """Its store learns of the users as soon as it waits for what all know. Nobody has a token of a file."""
    async with served() as doors:
        doors.source.demands = False
        await doors.auth.user_add({"name": "root", "password": "pw"}, 0)
        await doors.auth.role_add({"name": "root"}, 0)
        await doors.auth.user_grant_role({"user": "root", "role": "root"}, 0)
        doors.node.on_barrier = [AuthEnable()]
        yield doors


async def ask(doors: Served, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    data = None if body is None else msgspec.json.encode(body)
    async with aiohttp.request(method, doors.url + path, data=data, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_backup_is_nobodys_who_shows_nothing(behind: Served) -> None:
    file = behind.node.backup_file
    assert isinstance(file, ScriptedBackup)
    status, text = await ask(behind, "GET", "/backup")
    assert (status, file.closed) == (503, 1)
    assert AGAIN in text
    assert "state" not in text
    assert (await ask(behind, "GET", "/backup"))[0] == 401
    status, text = await ask(behind, "GET", "/backup", Authorization=ROOT)
    assert (status, text) == (200, "state")


@pytest.mark.parametrize("way", WAYS)
async def test_no_command_reaches_beyond_it(behind: Served, way: str) -> None:
    behind.node.own_readiness = Readiness(caught_up=way != "trigger_election")
    arguments = {"name": "n3"} if "member" in way else {}
    status, _ = await ask(behind, "POST", f"/commands/{way}", arguments)
    assert (status, behind.node.commanded) == (503, [])
    status, _ = await ask(behind, "POST", f"/commands/{way}", arguments)
    assert (status, behind.node.commanded) == (401, [])
    status, _ = await ask(behind, "POST", f"/commands/{way}", arguments, Authorization=ROOT)
    assert (status, len(behind.node.commanded)) == (200, 1)


async def test_its_log_shows_no_words_of_what_it_has_not_applied(
    behind: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [LogLine(index, 1, "write", 64, "c", summary=f"put key-{index}") for index in (1, 2, 3)]
    monkeypatch.setattr(behind.node, "log", lambda *_: iter(entries))
    core = msgspec.structs.replace(behind.node.own_status.core, applied=2)
    behind.node.own_status = msgspec.structs.replace(behind.node.own_status, core=core)
    for caught_up, last in ((False, ""), (True, "put key-3")):
        behind.node.own_readiness = Readiness(caught_up=caught_up)
        _, text = await ask(behind, "GET", "/log")
        told = [entry["summary"] for entry in msgspec.json.decode(text)["entries"]]
        assert told == ["put key-1", "put key-2", last]


async def test_where_nobody_can_tell_it_is_not_done_before_this_node_has_caught_up_once(behind: Served) -> None:
    """Afterwards it is: a fault of another node must be ended while nobody leads, and nothing is decided then."""
    behind.node.read_failure, behind.node.on_barrier = LEADERLESS, []
    behind.node.own_readiness = Readiness(caught_up=False)
    core = msgspec.structs.replace(behind.node.own_status.core, leader="")
    behind.node.own_status = msgspec.structs.replace(behind.node.own_status, core=core)
    status, text = await ask(behind, "POST", "/commands/recover?node=n2", {})
    assert (status, behind.node.commanded) == (503, [])
    assert "whether the cluster has users is not known here: no leader is known; ask again" in text
    for name in ("recover", "trigger_election"):
        status, _ = await ask(behind, "POST", f"/commands/{name}", {})
        assert status == 200, "of this node alone, and there is nobody to be deposed"
    unborn = msgspec.structs.replace(core, cluster_id="")
    behind.node.own_status = msgspec.structs.replace(behind.node.own_status, core=unborn)
    status, _ = await ask(behind, "POST", "/commands/become_follower?node=n2", {})
    assert (status, len(behind.node.commanded)) == (200, 3), (
        "nobody takes its word, but for one that is not born either"
    )
    behind.node.own_readiness = Readiness()
    status, _ = await ask(behind, "POST", "/commands/recover?node=n2", {})
    assert (status, len(behind.node.commanded)) == (200, 4)


async def test_what_only_shows_and_what_makes_a_leader_waits_for_nobody(behind: Served) -> None:
    """Of a cluster that began anew, whose nodes wait to be told to go on, or have no majority: people look."""
    behind.node.read_failure, behind.node.on_barrier = LEADERLESS, []
    behind.node.own_readiness = Readiness(caught_up=False)
    shows = [spec.name for spec in COMMANDS if not spec.changes]
    assert len(shows) > 1
    for name in (*shows, "become_follower"):
        status, text = await ask(behind, "POST", f"/commands/{name}?node=n2", {})
        assert status == 200, text


async def test_who_was_asked_for_nothing_is_judged_anew_once_there_are_users(
    behind: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saying what they want took them long, and this node knows of the users meanwhile."""
    begun = asyncio.Event()

    async def short_body(*arguments: Any) -> bytes:
        begun.set()
        return await inputs.short_body(*arguments)

    monkeypatch.setattr("node.api.commands.short_body", short_body)
    async with connected(behind.port) as plain:
        plain.writer.write(b"POST /commands/recover?node=n2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        await begun.wait()
        behind.node.do(AuthEnable())
        status, _ = await plain.ask(b"{}")
    assert (status, behind.node.commanded) == (503, [])


async def test_with_a_leader_that_is_silent_one_that_caught_up_once_relays_what_is_not_of_all(behind: Served) -> None:
    """An operator gives such commands because that leader is silent: nobody answers a read then. Whoever can be a
    member is decided by none but it."""
    behind.node.read_failure, behind.node.on_barrier = LEADERLESS, []
    assert behind.node.own_status.core.leader, "the one that is dead already"
    for number, way in enumerate(("trigger_election", "trigger_election?node=n2", "recover?node=n2"), 1):
        status, text = await ask(behind, "POST", f"/commands/{way}", {})
        assert (status, len(behind.node.commanded)) == (200, number), text
    for way in ("remove_member", "remove_member?node=n2"):
        status, text = await ask(behind, "POST", f"/commands/{way}", {"name": "n3"})
        assert (status, len(behind.node.commanded)) == (503, 3), text


async def test_members_are_changed_through_none_that_hears_no_leader(behind: Served) -> None:
    """It may be cut off in one direction alone, and its word reach the one that leads."""
    behind.node.read_failure, behind.node.on_barrier = LEADERLESS, []
    core = msgspec.structs.replace(behind.node.own_status.core, leader="")
    behind.node.own_status = msgspec.structs.replace(behind.node.own_status, core=core)
    status, text = await ask(behind, "POST", "/commands/remove_member?node=n2", {"name": "n3"})
    assert (status, behind.node.commanded) == (503, []), text
    status, text = await ask(behind, "POST", "/commands/remove_member", {"name": "n3"})
    assert status == 200, "its own to refuse"


@pytest.mark.parametrize(
    ("failed", "timeout_ms"),
    [(ReadFailed("timeout", "too late"), 1), (ReadFailed("overloaded", "too much"), 5000)],
    ids=["no time", "too much"],
)
async def test_whoever_asks_does_not_choose_that_nobody_can_tell(
    behind: Served, failed: ReadFailed, timeout_ms: int
) -> None:
    behind.node.read_failure, behind.node.on_barrier = failed, []
    behind.node.own_readiness = Readiness(election_timeout_us=1_000_000)
    for way in ("recover", "simulate_failure", "trigger_election"):
        status, text = await ask(behind, "POST", f"/commands/{way}?node=n2&timeout_ms={timeout_ms}", {})
        assert (status, behind.node.commanded) == (503, []), text


async def test_waiting_takes_half_of_a_commands_time_at_most_and_no_more_than_that_is_left_for_it(
    behind: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int | None] = []

    async def slow(timeout_us: int | None) -> ReadFailed:
        given.append(timeout_us)
        await asyncio.sleep((timeout_us or 0) / 1e6)
        return ReadFailed("timeout", "no quorum confirmed a leader in time")

    async def told(name: str, arguments: object, timeout_us: int, node: str = "") -> CommandOutcome:
        given.append(timeout_us)
        return CommandOutcome(name, node, "ok", "done")

    monkeypatch.setattr(behind.node, "read_barrier", slow)
    monkeypatch.setattr(behind.node, "command", told)
    status, text = await ask(behind, "POST", "/commands/recover?node=n2&timeout_ms=300", {})
    assert status == 200, text
    waited, left = given
    assert waited == 150_000
    assert left is not None
    assert 0 < left <= 150_000
    status, text = await ask(behind, "POST", "/commands/remove_member?timeout_ms=300", {"name": "n3"})
    assert (status, msgspec.json.decode(text)["error"]) == (503, "timeout")


async def test_no_key_is_read_by_whoever_asked_before_it_knew(behind: Served) -> None:
    behind.node.do(Put(b"a", b"secret"))
    wanted = request(b'{"key": "YQ=="}').replace(b"/lane", b"/v3/kv/range")
    async with connected(behind.port) as plain:
        status, text = await plain.ask(wanted)
        assert (status, b"c2VjcmV0" in text) == (503, False)
        assert AGAIN.encode() in text
        assert (await plain.ask(wanted))[0] == 400, "user name is empty"


async def test_nor_over_grpc(behind: Served) -> None:
    behind.node.do(Put(b"a", b"secret"))
    async with client(f"127.0.0.1:{behind.port}") as asked:
        code, said = await refused(asked.range(b"a"))
        assert (code, said) == (14, f"etcdserver: {AGAIN}")
        assert await refused(asked.range(b"a")) == (3, "etcdserver: user name is empty")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("add", {"peerURLs": ["http://10.0.0.1:1"]}),
        ("remove", {"ID": 7}),
        ("promote", {"ID": 7}),
        ("update", {"ID": 7, "peerURLs": ["http://10.0.0.1:1"]}),
        ("snapshot", {}),
        ("compact", {"revision": 1}),
        ("move_leader", {"targetID": 7}),
    ],
)
async def test_etcds_calls_judge_after_they_have_waited(call: str, message: dict[str, Any]) -> None:
    made = Made()
    node, calls = made.node, made.calls
    await made.auth.user_add({"name": "root", "password": "pw"}, 0)
    node.do(UserGrantRole("root", "root"))
    node.on_barrier = [AuthEnable()]
    members, upkeep = MemberCalls(node, calls), MaintenanceCalls(node, node.store, calls, made.slices)
    here = {"snapshot": upkeep, "move_leader": upkeep, "compact": calls}.get(call, members)
    asked = getattr(here, call)
    assert await as_whom(ANYBODY, lambda: asked(message, 0)) == AGAIN
    assert node.store.auth.enabled
    assert node.commanded == []
    file = node.backup_file
    assert isinstance(file, ScriptedBackup)
    assert file.closed == (call == "snapshot")


@pytest.mark.parametrize("way", ["PUT /kv/a", "GET /kv/a", "GET /kv/", "DELETE /kv/a"])
async def test_whoever_shows_a_password_is_asked_to_come_again_and_then_let_in(behind: Served, way: str) -> None:
    """It is no refusal: their next request is judged by what they show."""
    method, path = way.split(" ")
    if "/kv" in path:
        behind.node.do(Put(b"a", b"v"))
    if method != "GET":
        behind.node.before_writes, behind.node.on_barrier = behind.node.on_barrier, []
    status, text = await ask(behind, method, path, "v" if method == "PUT" else None, Authorization=ROOT)
    assert (status, AGAIN in text) == (503, True), text
    status, text = await ask(behind, method, path, "v" if method == "PUT" else None, Authorization=ROOT)
    assert status == 200, text


def test_commands_of_all_are_those_of_members_and_of_who_leads() -> None:
    of_leader = {spec.name for spec in COMMANDS if "the leader's to do" in spec.summary}
    deposing = {"transfer_leadership", "trigger_election"}
    assert {spec.name for spec in COMMANDS if spec.of_all} == of_leader | deposing
    assert {spec.name for spec in COMMANDS if spec.unled} == {"trigger_election", "become_follower"}
