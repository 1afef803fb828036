"""Every command over the real API of a real cluster, and what each fault does there; by HTTP and by command line."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.harness import Cluster, standing_cluster, visiting
from tests.ports import free_base_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def command(
    cluster: Cluster, node: str, name: str, via: str = "", **arguments: Any
) -> tuple[int, dict[str, Any]]:
    """(status, body) of `POST /commands/name` for `node`; `via`: asked of another, which relays it."""
    url = f"{cluster.url(via or node)}/commands/{name}{f'?node={node}' if via else ''}"
    async with cluster.http.post(url, json=arguments) as answer:
        return answer.status, dict(await answer.json())


async def done(cluster: Cluster, node: str, name: str, via: str = "", **arguments: Any) -> dict[str, Any]:
    status, body = await command(cluster, node, name, via, **arguments)
    assert (status, body["ok"], body["node"], body["command"]) == (200, True, node, name), body
    return body


async def get(cluster: Cluster, node: str, path: str) -> dict[str, Any]:
    async with cluster.http.get(cluster.url(node) + path) as answer:
        return dict(await answer.json())


async def put(cluster: Cluster, node: str, key: str, timeout_ms: int = 5000) -> int:
    async with cluster.http.put(f"{cluster.url(node)}/kv/{key}?timeout_ms={timeout_ms}", data=b"v") as answer:
        return answer.status


async def faults(cluster: Cluster, node: str) -> list[tuple[str, str, str]]:
    status = await cluster.status(node)
    assert status is not None
    return [(fault["kind"], fault["peer"], fault["direction"]) for fault in status["faults"]]


async def looked_up(cluster: Cluster, node: str) -> set[str]:
    """Whose names this node has looked up since it started."""
    rows = (await done(cluster, node, "show_known_nodes"))["data"]["nodes"]
    return {row["name"] for row in rows if row["resolved_age_ms"] is not None}


async def raft_node(cluster: Cluster, *arguments: str) -> tuple[int, str, str]:
    """The command line, as a process: (exit code, output, errors)."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", "command", *arguments, "--data-dir", str(cluster.folder / "data")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, out.decode(), errors.decode()


async def followers(cluster: Cluster) -> tuple[str, str, str]:
    """The leader that everybody follows, and the two others."""
    leader = ""

    async def all_follow() -> bool:
        nonlocal leader
        statuses = await cluster.statuses()
        leaders = {status["leader"] for status in statuses.values()}
        leader = next(iter(leaders))
        return len(statuses) == 3 and len(leaders) == 1 and leader != ""

    await cluster.until(all_follow, "all follow one leader")
    one, other = sorted(name for name in cluster.nodes if name != leader)
    return leader, one, other


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Timeouts long enough that no busy machine holds an election of its own: here elections are commanded."""
    with standing_cluster(tmp_path_factory.mktemp("standing"), 3, "--election-timeout-ms", "500-900") as folder:
        yield folder


@pytest.fixture
async def cluster(standing: Path) -> AsyncIterator[Cluster]:
    """The same for every test, whole at the begin of each."""
    async with visiting(standing) as cluster:
        await cluster.all_there()
        yield cluster


@pytest.mark.slowest
async def test_elections_on_request_and_what_shows(cluster: Cluster) -> None:
    """One cluster, one command after another: none of them needs faults."""
    leader, target, other = await followers(cluster)

    # The lead is handed over while clients write: whoever writes is told "try again" at worst.
    stop, statuses = asyncio.Event(), list[int]()

    async def write() -> None:
        while not stop.is_set():
            statuses.append(await put(cluster, other, "k"))

    writer = asyncio.create_task(write())
    body = await done(cluster, leader, "transfer_leadership", target=target)
    assert f"{target} leads in term" in body["message"]
    assert await cluster.leader() == target
    stop.set()
    await writer
    assert 200 in statuses
    assert set(statuses) <= {200, 503, 504}

    # Asked of one that does not lead, it is refused; asked of the leader through another, it is relayed.
    await followers(cluster)
    status, body = await command(cluster, leader, "transfer_leadership")
    assert (status, body["error"]) == (409, "refused")
    body = await done(cluster, target, "transfer_leadership", via=leader, target=leader)
    assert f"{leader} leads in term" in body["message"]

    # A triggered election wins against a leader that lives; a forced timeout does not.
    leader, one, other = await followers(cluster)
    before = (await get(cluster, one, "/status"))["term"]
    body = await done(cluster, one, "trigger_election", via=other)
    assert f"campaigns in term {before + 1}" in body["message"]
    await cluster.until(lambda: leads_now(cluster, one), f"{one} leads")
    leader, one, other = await followers(cluster)
    term = (await get(cluster, leader, "/status"))["term"]
    asked_before = await pre_votes(cluster, one)
    await done(cluster, one, "force_timeout")
    await cluster.until(lambda: has_asked(cluster, one, asked_before), "the PreVote")
    leader_after, _, _ = await followers(cluster)
    assert (leader_after, (await get(cluster, one, "/status"))["term"]) == (leader, term)

    # What a leader cannot do.
    for name in ("trigger_election", "force_timeout", "become_follower"):
        assert (await command(cluster, leader, name))[0] == 409

    # What only shows.
    assert await looked_up(cluster, one) == {leader, other}, "nobody dials itself"
    asked = (await done(cluster, one, "sync_known_nodes"))["data"]["asked"]
    assert sorted(asked) == sorted((leader, other))

    async def all_looked_up() -> bool:
        return await looked_up(cluster, one) == {leader, one, other}

    await cluster.until(all_looked_up, "every name looked up anew")  # its own, which nobody waits for, may come later

    async def one_knows_all() -> bool:
        nodes = (await done(cluster, one, "show_known_nodes", via=leader))["data"]["nodes"]
        assert [row["name"] for row in nodes] == sorted(cluster.nodes)
        return {row["leader"] for row in nodes} == {leader}

    await cluster.until(one_knows_all, "everybody's latest view")
    body = await done(cluster, one, "check_timers")
    assert list(body["data"]["timers_ms"]) == ["election"]
    assert body["data"]["timers_ms"]["election"] <= body["data"]["election_timeout_ms"]
    assert set((await done(cluster, leader, "check_timers"))["data"]["timers_ms"]) == {"heartbeat", "quorum-check"}
    body = await done(cluster, other, "state_details", via=one)
    assert body["data"]["status"]["core"]["name"] == other

    # All links of the leader drop; they come back, and nothing is lost.
    boots = {name: (await get(cluster, name, "/status"))["boot"] for name in cluster.nodes}
    await done(cluster, leader, "reset_links", via=one)
    await cluster.until(lambda: links_are_up(cluster), "all links up")
    await cluster.until(lambda: writes(cluster, one), "a write")
    assert boots == {name: (await get(cluster, name, "/status"))["boot"] for name in cluster.nodes}
    events = await transitions(cluster, leader, "link")
    assert any(detail["reason"] == "reset" for detail in events)

    # /stats has seen it all, /log says what was written.
    stats = [await get(cluster, name, "/stats") for name in cluster.nodes]
    assert sum(s["elections"]["won"] for s in stats) >= 4
    assert all(peer["bytes_sent"] > 1000 and peer["messages_received"] > 10 for s in stats for peer in s["peers"])
    assert any(s["commit_latency_ms"]["count"] > 0 for s in stats)
    lines = (await get(cluster, leader, "/log?limit=1000"))["entries"]
    assert lines[0]["summary"] == "members n1 n2 n3"
    assert "put k (1 bytes)" in [line["summary"] for line in lines]

    # The command line says the same, with its exit codes.
    code, out, _ = await raft_node(cluster, one)
    assert code == 0
    assert "transfer_leadership" in out
    code, out, _ = await raft_node(cluster, one, "check_timers", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    leader, one, other = await followers(cluster)
    code, _, errors = await raft_node(cluster, leader, "trigger_election")
    assert (code, errors) == (1, f"raft-node: Refused: {leader} leads already.\n")
    for arguments in ((one, "dance"), (one, "cut_link"), (one, "cut_link", "peer"), ("n9", "recover")):
        assert (await raft_node(cluster, *arguments))[0] == 64


@pytest.mark.slowest
async def test_a_node_can_wait_in_initial_and_without_enable_faults_takes_no_fault(tmp_path: Path) -> None:
    base = free_base_port(1)
    url = f"http://127.0.0.1:{base}"
    flags = ("--name", "n1", "--seeds", f"n1=127.0.0.1:{base + 1000}", "--data-dir", str(tmp_path / "n1"))

    async def serve(*more: str) -> asyncio.subprocess.Process:
        arguments = (sys.executable, "-m", "node.cli", "serve", *flags, "--port", str(base), *more)
        process = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.DEVNULL)
        await until_role(url, "initial" if more else "leader")
        return process

    async with aiohttp.ClientSession() as http:

        async def ask(name: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
            async with http.post(f"{url}/commands/{name}", json=arguments) as answer:
                return answer.status, dict(await answer.json())

        process = await serve("--wait-in-initial")
        try:
            for name in ("trigger_election", "force_timeout", "transfer_leadership"):
                assert (await ask(name))[0] == 409
            assert await until_role(url, "initial") == (0, 0)
            status, body = await ask("become_follower")
            assert status == 200
            assert "asks to be born" in body["message"]
            term, last_index = await until_role(url, "leader")
            assert (await ask("become_follower"))[0] == 409
            await end(process)
            # With a log too: it keeps its term, and waits.
            process = await serve("--wait-in-initial")
            assert await until_role(url, "initial") == (term, last_index)
            assert (await ask("become_follower"))[0] == 200
            await until_role(url, "leader")
            await end(process)
            process = await serve()
            for name, arguments in (("simulate_failure", {}), ("cut_link", {"peer": "n2"}), ("recover", {})):
                status, body = await ask(name, **arguments)
                assert (status, body["error"]) == (403, "faults-disabled")
            async with http.get(f"{url}/commands") as answer:
                assert (await answer.json())["enabled_faults"] is False
        finally:
            await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def until_role(url: str, role: str) -> tuple[int, int]:
    """Wait until the node has that role; its term and the last index of its log."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        while True:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/status") as answer:
                    status = await answer.json()
                    if status["role"] == role:
                        return status["term"], status["last_index"]
            await asyncio.sleep(0.02)


async def test_a_leader_that_is_asked_to_stop_hands_over_before_it_leaves(cluster: Cluster) -> None:
    leader, one, other = await followers(cluster)
    answered: list[int] = []
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            answered.append(await put(cluster, one, "k"))

    writer = asyncio.create_task(write())
    cluster.signal(leader, signal.SIGTERM)
    new = await cluster.leader(not_one_of=(leader,))

    async def says_why() -> bool:
        reasons = [d["reason"] for d in await transitions(cluster, new, "role") if d["to"] == "candidate"]
        return reasons[-1:] == [f"{leader} hands over"]

    await cluster.until(says_why, f"{new} stood because {leader} handed over")
    stop.set()
    await writer
    assert set(answered) <= {200, 503, 504}
    assert answered.count(504) <= 1, "more than the one write that was on its way is of unknown outcome"
    assert answered[-1] == 200
    assert {new} <= {one, other}

    async def gone() -> bool:
        return not cluster.nodes[leader]["pid"]

    await cluster.until(gone, f"{leader} has left")


@pytest.mark.slowest
async def test_faults_do_what_they_say_are_visible_and_end(cluster: Cluster) -> None:
    leader, one, other = await followers(cluster)

    # One direction: what the leader says to `one` vanishes. The other two go on; `one` cannot win, PreVote sees to it.
    body = await done(cluster, leader, "cut_link", via=other, peer=one, direction="out", seconds=20)
    assert body["data"]["expires_in_ms"] == 20_000
    await cluster.until(lambda: is_leaderless(cluster, one), f"{one} hears no leader")
    assert await faults(cluster, leader) == [("cut", one, "out")]
    assert await put(cluster, other, "during-cut") == 200
    statuses = await cluster.statuses()
    assert statuses[leader]["role"] == "leader"
    assert {status["term"] for status in statuses.values()} == {statuses[leader]["term"]}
    await done(cluster, leader, "heal_link", peer=one)
    await cluster.until(lambda: follows(cluster, one, leader), f"{one} hears it again")
    assert await faults(cluster, leader) == []

    # The same direction cut at the other end, from the command line; it ends by itself.
    asked = await pre_votes(cluster, one)
    code, out, errors = await raft_node(cluster, one, "cut_link", f"peer={leader}", "direction=in", "seconds=6")
    assert (code, errors) == (0, "")
    assert "for 6 s at most" in out
    await cluster.until(lambda: has_asked(cluster, one, asked), f"{one} hears no leader")
    await cluster.until(lambda: has_no_fault(cluster, one), "the cut ends by itself")
    await cluster.until(lambda: follows(cluster, one, leader), f"{one} hears it again")

    async def tells_of_both_ends() -> bool:
        told = [(d["kind"], d["on"], d["reason"]) for d in await transitions(cluster, one, "fault")]
        return told == [("cut", True, "injected"), ("cut", False, "expired")]

    await cluster.until(tells_of_both_ends, f"{one} tells of the cut and of its end")

    # Slow and lossy links delay, and lose nothing that was acknowledged.
    await done(cluster, leader, "delay_link", peer=one, ms=40)
    await done(cluster, leader, "delay_link", peer=other, ms=40)
    began = asyncio.get_running_loop().time()
    assert await put(cluster, leader, "slow") == 200
    assert asyncio.get_running_loop().time() - began >= 0.08, "there and back"
    assert len(await faults(cluster, leader)) == 4
    await done(cluster, leader, "recover")
    await done(cluster, other, "drop_link", peer=leader, percent=20)
    for number in range(5):
        assert await put(cluster, leader, f"lossy{number}") == 200
    await done(cluster, other, "recover")

    # Flipped bits end links, are counted where they are noticed, and are never stored.
    await done(cluster, other, "corrupt_link", peer=leader, percent=100)
    await cluster.until(lambda: has_refused_damage(cluster, leader), "the leader notices")
    await cluster.until(lambda: has_refused_damage(cluster, other), "the other end notices")
    assert await put(cluster, leader, "while-damaged") == 200
    await done(cluster, other, "recover")
    await cluster.until(lambda: is_linked(cluster, other, leader), f"{other} is linked again, on both lanes")
    assert await put(cluster, other, "after-damage") == 200

    # The leader plays dead: clients and peers see nothing of it, operators everything; another leads.
    await done(cluster, leader, "simulate_failure", via=one, seconds=20)
    await cluster.until(lambda: has_fault(cluster, leader), "the failure")
    assert await put(cluster, leader, "k") == 503
    async with cluster.http.post(f"{cluster.url(leader)}/v3/kv/range", json={"key": "YQ=="}) as answer:
        assert answer.status == 503
    new = await cluster.leader(not_one_of=(leader,))
    assert await put(cluster, new, "while-failing") == 200
    await cluster.until(lambda: seen_as_unknown(cluster, new, leader), "the others hear nothing of it")
    # Relayed, a command would vanish like everything else; asked itself, it obeys.
    url = f"{cluster.url(new)}/commands/recover?node={leader}&timeout_ms=300"
    async with cluster.http.post(url) as answer:
        assert (answer.status, (await answer.json())["error"]) == (504, "unknown outcome")
    assert (await done(cluster, leader, "recover"))["message"] == "1 fault ended"
    await cluster.until(lambda: follows(cluster, leader, new), "the old leader follows the new one")
    await cluster.all_applied()
    async with cluster.http.get(f"{cluster.url(leader)}/kv/while-failing") as answer:
        assert await answer.read() == b"v"
    metrics = await (await cluster.http.get(f"{cluster.url(leader)}/metrics")).text()
    assert 'raft_fault_injections_total{kind="failure"} 1.0' in metrics
    assert 'raft_fault_injections_total{kind="cut"} 1.0' in metrics
    assert "\nraft_faults_active 0.0" in metrics

    # What is wrong is named.
    status, body = await command(cluster, one, "cut_link", peer="n9")
    assert (status, body["field"]) == (400, "peer")
    assert (await command(cluster, "n9", "recover", via=one))[0] == 404


async def leads_now(cluster: Cluster, name: str) -> bool:
    status = await cluster.status(name)
    return status is not None and status["role"] == "leader"


async def pre_votes(cluster: Cluster, name: str) -> int:
    """How often this node has asked whether it could win. It is remembered; what `/status` shows may be over soon."""
    return len([d for d in await transitions(cluster, name, "election") if d["phase"] == "pre-vote"])


async def has_asked(cluster: Cluster, name: str, before: int) -> bool:
    return await pre_votes(cluster, name) > before


async def links_are_up(cluster: Cluster) -> bool:
    statuses = await cluster.statuses()
    return all(peer["link_up"] for status in statuses.values() for peer in status["peers"])


async def writes(cluster: Cluster, name: str) -> bool:
    return await put(cluster, name, "after", 500) == 200


async def is_leaderless(cluster: Cluster, name: str) -> bool:
    status = await cluster.status(name)
    return status is not None and status["leader"] == ""


async def follows(cluster: Cluster, name: str, leader: str) -> bool:
    status = await cluster.status(name)
    return status is not None and status["leader"] == leader and status["role"] == "follower"


async def has_fault(cluster: Cluster, name: str) -> bool:
    return bool(await faults(cluster, name))


async def has_no_fault(cluster: Cluster, name: str) -> bool:
    return not await faults(cluster, name)


async def has_refused_damage(cluster: Cluster, name: str) -> bool:
    refused = (await get(cluster, name, "/stats"))["frames_refused"]
    assert refused["impossible"] == 0, "nothing damaged came as far as the decoder"
    return int(refused["damaged"]) > 0


async def is_linked(cluster: Cluster, name: str, leader: str) -> bool:
    status = await get(cluster, name, "/status")
    return status["leader"] == leader and leader in [peer["name"] for peer in status["peers"] if peer["link_up"]]


async def seen_as_unknown(cluster: Cluster, by: str, name: str) -> bool:
    views = (await get(cluster, by, "/cluster"))["nodes"]
    return bool([view for view in views if view["name"] == name and view["state"] == "unknown"])


async def transitions(cluster: Cluster, name: str, kind: str) -> list[dict[str, Any]]:
    """The details of all transitions of one kind that a node remembers."""
    found: list[dict[str, Any]] = []
    async with cluster.http.get(f"{cluster.url(name)}/events", timeout=aiohttp.ClientTimeout(total=40)) as answer:
        patience_s = 20.0  # every node remembers at least that it started
        while True:
            try:
                line = await asyncio.wait_for(answer.content.readline(), patience_s)
            except TimeoutError:
                return found
            if not line:
                return found
            if line.startswith(b"data: {"):
                event, patience_s = json.loads(line[6:]), 0.3
                if event.get("kind") == kind:
                    found.append(event["detail"])
