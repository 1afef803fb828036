"""The client given one address finds the members' own, believes of them what is true, and never loses the way back."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from raftclient import RaftClient, Value, blocking
from raftclient.nodes import FOUND_MAX, LEAVING_SECONDS, PROBE_AGAIN_SECONDS, Nodes
from tests.cluster.harness import Cluster, running_cluster

SERVICE = "http://raft.ops:8001"


def url(name: str) -> str:
    return f"http://{name}.raft.ops:8001"


class World:
    """What answers where, and what was asked. `at`: who is reached under a URL. Who is `down` answers nothing."""

    def __init__(self, names: str = "abc", leader: str = "b") -> None:
        self.leader, self.cluster_id = leader, "c1"
        self.members: dict[str, Any] = {name: url(name) for name in names}
        self.at = {url(name): name for name in names} | {SERVICE: names[0]}
        self.down: set[str] = set()
        self.asked: list[str] = []

    async def ask(self, what: str) -> dict[str, Any] | None:
        self.asked.append(what)
        base, _, path = what.rpartition("/")
        name = self.at.get(base, "")
        if not name or name in self.down:
            return None
        if path == "status":
            return self.status(name)
        rows = [
            {"name": member, "status": None if at is None else {"client_url": at}}
            for member, at in self.members.items()
        ]
        return {"node": name, "cluster_id": self.cluster_id, "nodes": rows}

    def status(self, name: str) -> dict[str, Any]:
        role = "leader" if name == self.leader else "follower"
        return {"name": name, "cluster_id": self.cluster_id, "role": role, "term": 3}

    def nodes(self, *given: str, discover: bool = True) -> Nodes:
        return Nodes(given or (SERVICE,), discover, self.ask)


async def moved_on(nodes: Nodes) -> None:
    """From the one that is asked now, and whoever leads was looked for."""
    nodes.move_on(nodes.current)
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == "find the leader"]
    if tasks:
        await asyncio.wait(tasks)


async def test_members_come_before_what_was_given_and_the_leader_before_all() -> None:
    world = World()
    nodes = world.nodes()
    await nodes.look()
    assert list(nodes.urls) == [url("a"), url("b"), url("c"), SERVICE]
    assert nodes.current == url("b")


async def test_who_does_not_answer_at_its_own_address_is_not_asked_and_is_looked_for_again_later() -> None:
    world = World()
    del world.at[url("b")]  # names that mean nothing where the client runs
    del world.at[url("c")]
    nodes = world.nodes()
    await nodes.look()
    assert list(nodes.urls) == [url("a"), SERVICE]
    world.asked.clear()
    await nodes.look()
    assert not [what for what in world.asked if what.startswith((url("b"), url("c")))]
    loop, now = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    world.at[url("b")] = "b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: now + PROBE_AGAIN_SECONDS + 1)
        await nodes.look()
    assert list(nodes.urls) == [url("a"), url("b"), SERVICE]
    assert nodes.current == url("b")


@pytest.mark.parametrize("other", ["another member", "another cluster"])
async def test_where_somebody_else_answers_is_never_asked(other: str) -> None:
    """Every node says `http://127.0.0.1:8001` of itself, say, and there another cluster is on the client's machine."""
    world = World(leader="a")
    if other == "another member":
        world.at[url("b")] = "c"
    else:

        async def ask(what: str) -> dict[str, Any] | None:
            said = await World.ask(world, what)
            return said and (said | {"cluster_id": "c2"} if what.startswith(url("b")) else said)

        world.ask = ask  # type: ignore[method-assign]
    nodes = world.nodes()
    await nodes.look()
    assert list(nodes.urls) == [url("a"), url("c"), SERVICE]


async def test_a_member_that_fell_silent_comes_last_and_is_first_again_when_it_answers() -> None:
    world = World(leader="a")
    nodes = world.nodes()
    await nodes.look()
    world.down = {"b"}
    await nodes.look()
    assert list(nodes.urls) == [url("a"), url("c"), SERVICE, url("b")]
    world.down = set()
    await nodes.look()
    assert set(nodes.urls[:3]) == {url("a"), url("b"), url("c")}


async def test_where_nobody_answers_everybody_is_tried_what_was_given_too() -> None:
    world = World()
    nodes = world.nodes()
    await nodes.look()
    world.down = set("abc")
    tried = set()
    for _ in range(4):
        await moved_on(nodes)
        tried.add(nodes.current)
    assert tried == {SERVICE, url("a"), url("b"), url("c")}


async def test_who_is_no_member_any_more_is_forgotten_and_who_joined_is_found() -> None:
    world = World()
    nodes = world.nodes()
    await nodes.look()
    del world.members["a"], world.members["b"]
    world.members["d"], world.at[url("d")], world.at[SERVICE] = url("d"), "d", "d"
    world.leader, world.down = "d", {"a", "b"}
    await moved_on(nodes)
    assert list(nodes.urls) == [url("c"), url("d"), SERVICE]
    assert nodes.current == url("d")


async def test_all_members_may_be_replaced_as_long_as_what_was_given_leads_to_the_new_ones() -> None:
    world = World()
    nodes = world.nodes()
    await nodes.look()
    world.members = {"x": url("x")}
    world.at |= {url("x"): "x", SERVICE: "x"}
    world.down, world.leader, world.cluster_id = set("abc"), "x", "c2"
    await moved_on(nodes)
    assert list(nodes.urls) == [url("x"), SERVICE]
    assert nodes.current == url("x")


async def test_a_member_of_whom_nothing_was_heard_stays_where_it_was_found() -> None:
    world = World()
    nodes = world.nodes()
    await nodes.look()
    world.members["c"] = None
    await nodes.look()
    assert list(nodes.urls) == [url("c"), url("a"), url("b"), SERVICE]


async def test_a_member_that_was_not_known_yet_is_looked_for_again_by_calls_and_the_others_seldom() -> None:
    world = World()
    world.members["c"] = None
    nodes = world.nodes()
    loop, now = asyncio.get_running_loop(), asyncio.get_running_loop().time()

    async def called(after_s: float) -> int:
        """How often the members were asked for by a call then."""
        world.asked.clear()
        patch.setattr(loop, "time", lambda: now + after_s)
        nodes.refresh()
        tasks = [task for task in asyncio.all_tasks() if task.get_name() == "find the leader"]
        await asyncio.gather(*tasks)
        return len([what for what in world.asked if what.endswith("/cluster")])

    with pytest.MonkeyPatch.context() as patch:
        assert await called(0.0) == 0, "whoever opened the client looks first"
        patch.setattr(loop, "time", lambda: now)
        await nodes.look()
        assert [await called(after_s) for after_s in (0.5, 1.1, 2.0, 3.2)] == [0, 1, 0, 1]
        assert list(nodes.urls) == [url("a"), url("b"), SERVICE]
        world.members["c"] = url("c")
        assert [await called(after_s) for after_s in (5.0, 7.3)] == [0, 1]
        assert list(nodes.urls) == [url("a"), url("b"), url("c"), SERVICE]
        assert [await called(after_s) for after_s in (30.0, 38.0)] == [0, 1]


async def test_without_discovery_only_what_was_given_is_asked() -> None:
    world = World()
    nodes = world.nodes(SERVICE, discover=False)
    await nodes.look()
    await moved_on(nodes)
    assert list(nodes.urls) == [SERVICE]
    assert set(world.asked) == {f"{SERVICE}/status"}


async def test_over_tls_nobody_is_asked_without() -> None:
    world = World()
    secure = "https://raft.ops:443"
    world.at[secure] = "a"
    world.members["c"], world.at["https://c:443"] = "https://c:443", "c"
    nodes = world.nodes(secure)
    await nodes.look()
    assert list(nodes.urls) == ["https://c:443", secure]
    assert not [what for what in world.asked if what.startswith("http:")]


async def test_what_says_nonsense_of_members_is_not_followed_and_what_says_much_not_far() -> None:
    junk: tuple[Any, ...] = (
        None,
        7,
        [],
        "",
        "http://",
        "ftp://a:1",
        "http://a b:1",
        "http://a:1/?x=1",
        "a:1",
        {"a": 1},
    )
    world = World()
    for number, at in enumerate(junk):
        world.members[f"j{number}"] = at
    nodes = world.nodes()
    await nodes.look()
    assert list(nodes.urls) == [url("a"), url("b"), url("c"), SERVICE]
    world = World()
    world.members = {f"n{number}": url(f"n{number}") for number in range(1000)}
    nodes = world.nodes()
    await nodes.look()
    assert len(world.asked) <= FOUND_MAX + 2
    for nodes_said in (None, 7, {"a": 1}, [7, None, {"name": 1}, {"name": "a", "status": 7}]):

        async def ask(what: str, said: Any = nodes_said) -> dict[str, Any] | None:
            return {"cluster_id": "c1", "nodes": said} if what.endswith("/cluster") else world.status("a")

        nodes = Nodes((SERVICE,), True, ask)
        await nodes.look()
        assert list(nodes.urls) == [SERVICE]


async def test_one_that_leaves_is_the_last_choice_for_a_while() -> None:
    world = World(leader="a")
    nodes = world.nodes()
    await nodes.look()
    nodes.leaving(url("a"))
    await moved_on(nodes)
    assert nodes.current != url("a")
    assert LEAVING_SECONDS > 1


# --- real nodes ------------------------------------------------------------------------------------------------


async def found_all(client: RaftClient, cluster: Cluster) -> None:
    """It takes calls: a node tells the others of itself twice a second, so one that has just started is not known."""

    async def found() -> bool:
        await client.get("k")
        return {cluster.url(node) for node in cluster.nodes} == {
            url for url, said in (await client.status()).items() if said
        }

    await cluster.until(found, "the client found every node")


async def back(cluster: Cluster, node: str) -> None:
    await cluster.start_node(node)
    await cluster.all_known()


@pytest.mark.slowest
async def test_a_client_that_was_told_of_one_node_goes_on_when_that_is_gone(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        given = cluster.url("n1")
        async with RaftClient([given], timeout_s=10) as client, RaftClient([given], discover=False) as alone:
            revision = await client.put("k", "before")
            assert await alone.get("k") == Value(b"before", revision)
            await found_all(client, cluster)
            for node in ("n1", "n2", "n3"):  # each in turn: what was found is found again
                cluster.signal(node, signal.SIGKILL)
                revision = await client.put("k", node)
                assert await client.get("k") == Value(node.encode(), revision)
                if node == "n1":
                    assert (await alone.status()) == {given: None}
                await back(cluster, node)
                await found_all(client, cluster)
            assert client.longest_stall_s < 5


@pytest.mark.slowest
async def test_so_does_the_blocking_face_and_a_lock_is_held_on(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        urls = [cluster.url("n1")]

        def told_of_one() -> None:
            with blocking.RaftClient(urls, timeout_s=10) as client, client.lock("l") as lock:
                while len([said for said in client.status().values() if said]) < 3:
                    client.get("k")
                cluster.signal("n1", signal.SIGKILL)
                client.put("k", "v")
                lock.check()
                found = client.get("k")
                assert found is not None
            with blocking.RaftClient(urls, timeout_s=0.5, discover=False) as client:
                assert client.status() == {urls[0]: None}

        with ThreadPoolExecutor(1, "told of one") as thread:
            await asyncio.get_running_loop().run_in_executor(thread, told_of_one)
