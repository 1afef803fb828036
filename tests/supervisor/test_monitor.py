"""The page of all nodes, served by `raft-node cluster` over five real nodes: what it shows, and what nodes' deaths
leave of it. One cluster for the whole file: every test leaves five nodes running."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.cluster.harness import POLL_SECONDS, WAIT_SECONDS
from tests.ports import free_base_port

NAMES = ["n1", "n2", "n3", "n4", "n5"]
Answer = tuple[int, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running cluster's folder: its `cluster.json` says where everything is."""
    made = tmp_path_factory.mktemp("monitored")
    options = ["--nodes", "5", "--base-port", str(free_base_port(5)), "--data-dir", str(made / "data")]
    with (made / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "node.cli", "cluster", "--monitor-port", "0", *options], stdout=out, stderr=out
        )
    try:
        end = time.monotonic() + WAIT_SECONDS
        while "Ctrl-C ends all nodes" not in (made / "out").read_text() and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WAIT_SECONDS)


class Monitor:
    """A client of the page's server."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession) -> None:
        self.folder, self.http = folder, http
        self.base = str(self.file["monitor"]).rstrip("/")

    @property
    def file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "data" / "cluster.json").read_bytes())
        return found

    def url(self, name: str) -> str:
        return str(next(node["url"] for node in self.file["nodes"] if node["name"] == name))

    def pid(self, name: str) -> int:
        return int(next(node["pid"] for node in self.file["nodes"] if node["name"] == name))

    async def ask(self, path: str, method: str = "GET", **options: Any) -> Answer:
        """(status, JSON, or bytes where it is none)."""
        async with self.http.request(method, URL(self.base + path, encoded=True), **options) as answer:
            body = await answer.read()
            return answer.status, json.loads(body) if "json" in answer.headers["Content-Type"] else body

    async def nodes(self) -> dict[str, dict[str, Any]]:
        status, body = await self.ask("/cluster")
        assert status == 200
        return {node["name"]: node for node in body["nodes"]}

    async def leader(self) -> str:
        """Wait until one leads and all others that run follow it; its name."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                seen = [n["status"] for n in (await self.nodes()).values() if n["state"] == "reachable"]
                named = {status["leader"] for status in seen}
                if len(named) == 1 and "" not in named and any(s["role"] == "leader" for s in seen):
                    return str(named.pop())
                await asyncio.sleep(POLL_SECONDS)

    async def all_reachable(self) -> None:
        await self.until(lambda nodes: all(node["state"] == "reachable" for node in nodes.values()))

    async def unknown(self, name: str) -> None:
        await self.until(lambda nodes: nodes[name]["state"] == "unknown")

    async def kill(self, name: str) -> None:
        """And wait until its parent knows."""
        os.kill(self.pid(name), signal.SIGKILL)
        await self.until(lambda nodes: nodes[name]["process"]["state"] == "ended")

    async def until(self, holds: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds(await self.nodes()):  # noqa: ASYNC110 - another process's state has no event to await
                await asyncio.sleep(POLL_SECONDS)

    async def start(self, name: str) -> None:
        status, body = await self.ask(f"/nodes/{name}/start", "POST")
        assert status == 200, body

    @asynccontextmanager
    async def stream(self, path: str, last_id: str = "") -> AsyncIterator["Stream"]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WAIT_SECONDS)
        async with self.http.get(self.base + path, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            yield Stream(answer)


class Stream:
    """Server-sent events as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.last_id = ""

    async def next(self) -> tuple[str, dict[str, Any]]:
        """(event name, data)."""
        kind, data = "", None
        async for line in self._answer.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self.last_id = value
            elif name == "data":
                data = json.loads(value)
            elif not name and data is not None:
                return kind, data
        raise EOFError

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The first event with these; `event` is its name."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                kind, data = await self.next()
                if ({"event": kind} | data).items() >= wanted.items():
                    return data

    async def until_all(self, holds: Callable[[Sequence[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """All events without a name until these do."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds(found):
                kind, data = await self.next()
                if not kind:
                    found.append(data)
        return found

    async def now(self, seconds: float = 0.7) -> list[tuple[str, dict[str, Any]]]:
        """All that comes within that time."""
        found = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found.append(await self.next())
        except TimeoutError:
            return found


@pytest.fixture
async def monitor(folder: Path) -> AsyncIterator[Monitor]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS)) as http:
        made = Monitor(folder, http)
        await made.all_reachable()
        await made.leader()
        yield made
    await asyncio.sleep(0)  # let the connector's transports close


def test_its_address_is_the_first_line_and_stands_in_the_file(folder: Path) -> None:
    first = (folder / "out").read_text().splitlines()[0]
    assert first == f"Watch it: {json.loads((folder / 'data' / 'cluster.json').read_bytes())['monitor']}"


async def test_browsers_get_the_page_programs_a_list_and_all_answers_the_pages_headers(monitor: Monitor) -> None:
    assert (await monitor.ask("/source.json")) == (200, {"kind": "monitor"})
    status, page = await monitor.ask("/", headers={"Accept": "text/html"})
    assert (status, b"<!doctype html>" in page) == (200, True)
    assert (await monitor.ask("/static/app.js"))[0] == 200
    status, listed = await monitor.ask("/")
    assert (status, listed["nodes"]) == (200, NAMES)
    for path, code in (
        ("/", 200), ("/cluster", 200), ("/nodes/n1/status", 200), ("/nodes/n9/status", 404), ("/none", 404),
    ):  # fmt: skip
        async with monitor.http.get(monitor.base + path) as answer:
            assert (path, answer.status) == (path, code)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_cluster_looks_as_on_a_node_with_what_a_parent_knows(monitor: Monitor) -> None:
    async with monitor.http.get(monitor.url("n1") + "/cluster") as answer:
        on_node = await answer.json()
    _, here = await monitor.ask("/cluster")
    assert here.keys() == on_node.keys()
    assert here["cluster_id"] == on_node["cluster_id"] != ""
    own = next(node for node in on_node["nodes"] if node["name"] == "n1")
    for node in here["nodes"]:
        assert node.keys() == own.keys() | {"process", "url"}
        assert node["status"].keys() == own["status"].keys()
        assert node["process"] == {"pid": monitor.pid(node["name"]), "state": "running", "exit": None, "how": ""}
        assert node["age_ms"] < 2000


async def test_a_nodes_own_words_come_through_unchanged_its_refusals_too(monitor: Monitor) -> None:
    for name in NAMES:
        assert (await monitor.ask(f"/nodes/{name}/status"))[1]["name"] == name
    for path in ("/log?from=1&limit=2", "/log?limit=0", "/log?nonsense=1", "/commands"):
        async with monitor.http.get(monitor.url("n2") + path) as answer:
            direct = answer.status, await answer.json()
        assert await monitor.ask(f"/nodes/n2{path}") == direct
    assert "elections" in (await monitor.ask("/nodes/n3/stats"))[1]
    status, body = await monitor.ask("/nodes/n9/log")
    assert (status, body["error"]) == (404, "unknown-node")


async def test_keys_of_any_bytes_and_conditions_reach_the_store_and_answers_come_back(monitor: Monitor) -> None:
    key = "a/../b%2F%00%ff"
    status, put = await monitor.ask(f"/kv/{key}", "PUT", data=b"\0\xff")
    assert status == 200
    async with monitor.http.get(URL(f"{monitor.base}/nodes/n4/kv/{key}", encoded=True)) as answer:
        assert await answer.read() == b"\0\xff"
        assert answer.headers["ETag"] == f'"{put["revision"]}"'
    async with monitor.http.get(URL(f"{monitor.url('n1')}/kv/{key}", encoded=True)) as answer:
        assert await answer.read() == b"\0\xff"
    stale = {"If-Match": '"1"'}
    assert (await monitor.ask(f"/nodes/n2/kv/{key}", "PUT", data=b"x", headers=stale))[0] == 412
    assert (await monitor.ask("/kv/?prefix=a&limit=5"))[1]["count"] == 1
    assert (await monitor.ask("/nodes/n3/kv/?prefix=a"))[1]["count"] == 1
    assert (await monitor.ask(f"/nodes/n5/kv/{key}", "DELETE"))[0] == 200
    assert (await monitor.ask(f"/kv/{key}"))[0] == 404
    assert (await monitor.ask("/kv/big", "PUT", data=io.BytesIO(bytes(1024 * 1024 + 1))))[0] == 413
    assert (await monitor.ask("/kv/empty", "PUT"))[0] == 200
    assert await monitor.ask("/kv/empty") == (200, b"")


async def test_a_command_is_carried_out_on_that_node_and_its_outcome_told(monitor: Monitor) -> None:
    leader = await monitor.leader()
    follower = next(name for name in NAMES if name != leader)
    status, body = await monitor.ask(f"/nodes/{follower}/commands/state_details", "POST", json={})
    assert (status, body["ok"], body["node"]) == (200, True, follower)
    assert (await monitor.ask(f"/nodes/{follower}/commands/nonsense", "POST"))[0] == 404
    bad = {"peer": follower, "direction": "sideways"}
    assert (await monitor.ask(f"/nodes/{leader}/commands/cut_link", "POST", json=bad))[0] == 400
    assert (await monitor.ask("/nodes/n1/commands/cut_link", "POST", data=b"x" * 5000))[0] == 413
    await monitor.until(lambda nodes: nodes[leader]["status"] is not None)
    term = (await monitor.nodes())[leader]["status"]["term"]
    async with monitor.stream("/events") as stream:
        assert (await monitor.ask(f"/nodes/{follower}/commands/trigger_election", "POST"))[0] == 200
        while (await stream.until(node=follower, kind="won"))["term"] <= term:
            pass
    await monitor.until(lambda nodes: (nodes[follower]["status"] or {}).get("role") == "leader")


async def test_pages_of_other_sites_may_do_nothing(monitor: Monitor) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "rebound.example"}):
        for path, method in (("/cluster", "GET"), ("/nodes/n1/start", "POST"), ("/kv/k", "PUT"), ("/events", "GET")):
            status, body = await monitor.ask(path, method, headers=headers)
            assert (path, status, body["error"]) == (path, 403, "forbidden")
    own = {"Origin": monitor.base}
    assert (await monitor.ask("/nodes/n1/commands/state_details", "POST", headers=own))[0] == 200


async def test_two_dead_of_five_are_called_ended_the_rest_serves_and_both_start_again(monitor: Monitor) -> None:
    leader = await monitor.leader()
    dead = [leader, next(name for name in NAMES if name != leader)]
    for name in dead:
        await monitor.kill(name)
    new = await monitor.leader()
    assert new not in dead
    nodes = await monitor.nodes()
    for name, node in nodes.items():
        assert node["state"] == ("unknown" if name in dead else "reachable")
    killed = nodes[leader]
    assert killed["process"] == {"pid": None, "state": "ended", "exit": -9, "how": "was killed by SIGKILL"}
    assert killed["status"]["name"] == leader  # its last words
    assert killed["age_ms"] > 0
    for path in ("status", "log", "stats", "events", "kv/k"):
        status, body = await monitor.ask(f"/nodes/{leader}/{path}")
        assert (status, body["error"]) == (502, "unreachable")
        assert f"{leader} does not run: it was killed by SIGKILL" in body["message"]
    assert (await monitor.ask("/kv/k", "PUT", data=b"v"))[0] == 200
    assert await monitor.ask("/kv/k") == (200, b"v")
    assert (await monitor.ask(f"/nodes/{leader}/output?tail=3"))[1]["lines"]

    for name in dead:
        await monitor.start(name)
    status, body = await monitor.ask(f"/nodes/{leader}/start", "POST")
    assert (status, body["message"]) == (409, f"{leader} is already running as process {monitor.pid(leader)}.")
    await monitor.all_reachable()
    await monitor.leader()
    assert (await monitor.ask(f"/nodes/{dead[1]}/kv/k"))[1] == b"v"


@pytest.mark.slowest
async def test_a_stopped_node_is_unknown_running_and_holds_nobody_up(monitor: Monitor) -> None:
    leader = await monitor.leader()
    stopped = next(name for name in NAMES if name != leader)
    os.kill(monitor.pid(stopped), signal.SIGSTOP)
    try:
        await monitor.unknown(stopped)
        node = (await monitor.nodes())[stopped]
        assert (node["state"], node["process"]["state"]) == ("unknown", "running")
        status, body = await monitor.ask(f"/nodes/{stopped}/kv/q?timeout_ms=50", "PUT", data=b"v")
        assert (status, body["error"]) == (504, "unknown outcome")
        assert (await monitor.ask("/kv/other", "PUT", data=b"v"))[0] == 200
    finally:
        os.kill(monitor.pid(stopped), signal.SIGCONT)


async def test_the_merged_stream_goes_on_through_a_death_and_a_return(monitor: Monitor) -> None:
    leader = await monitor.leader()
    async with monitor.stream("/events?messages=1&rate=50") as stream:
        for _ in NAMES:
            await stream.until(event="node", connected=True)
        await monitor.kill(leader)
        assert await stream.until(event="node", connected=False) == {"node": leader, "connected": False}
        won = await stream.until(kind="won")
        assert won["node"] != leader
        await stream.until(kind="message", node=won["node"])
        await monitor.start(leader)
        assert await stream.until(event="node", connected=True) == {"node": leader, "connected": True}
        started = await stream.until(kind="started", node=leader)
        assert started["detail"]["boot"] == (await monitor.nodes())[leader]["status"]["boot"]


async def test_the_merged_stream_resumes_each_node_where_it_was(monitor: Monitor) -> None:
    async with monitor.stream("/events") as stream:
        told = await stream.until_all(lambda told: {data["node"] for data in told} == set(NAMES))
        told += [data for kind, data in await stream.now() if not kind]
        last_id = stream.last_id
    first = {(data["node"], data["seq"]) for data in told}
    leader = await monitor.leader()
    follower = next(name for name in NAMES if name != leader)
    assert (await monitor.ask(f"/nodes/{follower}/commands/force_timeout", "POST"))[0] == 200
    async with monitor.stream("/events", last_id) as stream:
        newest = max(seq for node, seq in first if node == follower)
        told = await stream.until_all(
            lambda told: any(
                (data["node"], data["kind"]) == (follower, "election") and data["seq"] > newest for data in told
            )
        )
        told += [data for kind, data in await stream.now() if not kind]
    assert first.isdisjoint({(data["node"], data["seq"]) for data in told})
    for wrong in ("nonsense", "n1:a b", "n1:" + "x" * 200, "n1:b.1.1," * 500):
        status, body = await monitor.ask("/events", headers={"Last-Event-ID": wrong})
        assert (wrong[:9], status, body["field"]) == (wrong[:9], 400, "Last-Event-ID")


async def test_one_nodes_stream_is_its_own_and_resumes(monitor: Monitor) -> None:
    async with monitor.stream("/nodes/n3/events?messages=1&rate=20") as stream:
        assert (await stream.until(kind="started"))["node"] == "n3"
        assert (await stream.until(kind="message"))["node"] == "n3"
        last_id = stream.last_id
    async with monitor.stream("/nodes/n3/events", last_id) as stream:
        assert not [data for kind, data in await stream.now(0.4) if not kind and data["seq"] < 5]
    assert (await monitor.ask("/nodes/n3/events?rate=0"))[0] == 400


async def test_a_watch_goes_through_whoever_takes_it_and_resumes_at_another_node(monitor: Monitor) -> None:
    leader, path = await monitor.leader(), "/kv/?prefix=watched&watch=1"
    async with monitor.stream(path) as stream:
        await stream.until(event="watching")
        assert (await monitor.ask("/kv/watched", "PUT", data=b"1"))[0] == 200
        first = (await stream.until(event="put", key="watched"))["revision"]
        await monitor.kill(leader)  # through whom it goes
        with pytest.raises(EOFError):
            await stream.until(event="never")
        last_id = stream.last_id
    await monitor.leader()
    assert (await monitor.ask("/kv/watched", "PUT", data=b"2"))[0] == 200
    async with monitor.stream(path, last_id) as stream:
        assert (await stream.until(event="put"))["revision"] == first + 1
    async with monitor.stream(f"/nodes/{next(name for name in NAMES if name != leader)}{path}") as stream:
        assert (await stream.until(event="watching"))["revision"] >= first + 1
    status, body = await monitor.ask(f"/nodes/{leader}{path}")
    assert (status, body["error"]) == (502, "unreachable")
    assert (await monitor.ask(f"{path}&limit=3"))[0] == 400
    await monitor.start(leader)
    await monitor.all_reachable()


async def test_the_end_of_a_nodes_output_is_shown_and_filtered(monitor: Monitor) -> None:
    status, body = await monitor.ask("/nodes/n2/output?tail=3")
    log = (monitor.folder / "data" / "n2" / "node.log").read_text().splitlines()
    assert (status, body["node"], len(body["lines"])) == (200, "n2", 3)
    assert body["lines"][0] in log
    _, body = await monitor.ask("/nodes/n2/output?filter=BORN")
    assert body["lines"]
    assert all("born" in line for line in body["lines"])
    assert (await monitor.ask("/nodes/n2/output?filter=no%20such%20text"))[1]["lines"] == []
    for query in ("tail=0", "tail=2001", "tail=x", "filter=" + "x" * 201, "file=/etc/passwd"):
        assert (query[:9], (await monitor.ask(f"/nodes/n2/output?{query}"))[0]) == (query[:9], 400)
