"""A first install as on Kubernetes: real nodes appear one by one, in any order, under names that DNS learns late."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.discovery.dns import Dns, play

pytestmark = pytest.mark.slowest

NAMES = tuple(f"raft-{number}" for number in range(5))
HEADLESS = "raft-headless.ns.svc"
SEEDS = ",".join(f"{name}={name}.{HEADLESS}:9001" for name in NAMES)
BETWEEN_PODS_SECONDS = 0.5
DNS_LATE_SECONDS = 3.0
WAIT_SECONDS = 25.0


class Pods:
    """Nodes on addresses of their own; `address` of a name is where its process listens, DNS hears of it later."""

    def __init__(self, dns: Dns, folder: Path, http: aiohttp.ClientSession) -> None:
        self.dns, self.folder, self.http = dns, folder, http
        self.address: dict[str, str] = {}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.leaders: dict[int, set[str]] = {}
        """By term: who said that it leads."""

    async def start(self, name: str, address: str) -> None:
        self.address[name] = address
        own = f"{name}.{HEADLESS}"
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", SEEDS),
                *("--data-dir", str(self.folder / name), "--host", address, "--peer-host", address),
                *("--client-url", f"http://{own}:8001", "--allowed-hosts", f"{own},{own}.cluster.local"),
                *("--election-timeout-ms", "500-1000"),
                stdout=log,
                stderr=log,
            )

    async def known(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.dns.zone[f"{name}.{HEADLESS}.cluster.local"] = [self.address[name]]

    async def ask(self, name: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """(status, JSON) by the address, with the name that another pod would use in Host; status 0: no answer."""
        headers = {"Host": f"{name}.{HEADLESS}:8001"}
        url = f"http://{self.address[name]}:8001{path}"
        try:
            async with self.http.request(method, url, headers=headers, **options) as answer:
                body = await answer.read()
                return answer.status, json.loads(body) if answer.content_type == "application/json" else body.decode()
        except (aiohttp.ClientError, TimeoutError):
            return 0, None

    async def statuses(self) -> dict[str, dict[str, Any]]:
        found = {name: (await self.ask(name, "GET", "/status"))[1] for name in self.processes}
        statuses = {name: status for name, status in found.items() if status}
        for name, status in statuses.items():
            if status["role"] == "leader":
                self.leaders.setdefault(status["term"], set()).add(name)
        return statuses

    async def agree(self) -> bool:
        """Everybody follows one leader and has applied the same."""
        statuses = (await self.statuses()).values()
        facts = {(status["leader"], status["applied"]) for status in statuses}
        return len(statuses) == len(NAMES) and len(facts) == 1 and next(iter(facts))[0] != ""

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        for _ in range(int(WAIT_SECONDS / 0.1)):
            if await holds():
                return
            await asyncio.sleep(0.1)
        logs = "".join((self.folder / f"{name}.log").read_text()[-300:] for name in self.processes)
        raise AssertionError(f"not within {WAIT_SECONDS} s: {what}: {await self.statuses()} {logs}")

    async def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            await process.wait()


async def one_by_one(dns: Dns, folder: Path) -> Any:
    """Born once; then a pod moves to another address."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        pods = Pods(dns, folder, http)
        order = random.Random().sample(NAMES, len(NAMES))
        late = []
        early = []
        for name in order:
            await pods.start(name, f"127.0.0.{11 + NAMES.index(name)}")
            late.append(asyncio.create_task(pods.known(name, DNS_LATE_SECONDS)))
            await asyncio.sleep(BETWEEN_PODS_SECONDS)
            early += [status["role"] for status in (await pods.statuses()).values()]
        await asyncio.gather(*late)
        await pods.until(pods.agree, "all follow one leader")
        written = [(await pods.ask(name, "PUT", f"/kv/{name}", data=b"v"))[0] for name in NAMES]
        ready = [(await pods.ask(name, "GET", "/readyz"))[0] for name in NAMES]
        strange = (await pods.ask(NAMES[0], "GET", "/status", params={}))[0]
        statuses = await pods.statuses()
        leader = next(iter(statuses.values()))["leader"]
        mover, witness = [name for name in NAMES if name != leader][:2]
        shown = (await pods.ask(witness, "POST", "/commands/show_known_nodes", json={}))[1]["data"]["nodes"]
        pods.processes[mover].kill()
        await pods.processes[mover].wait()
        await pods.start(mover, "127.0.0.77")
        await pods.known(mover, 0)
        await pods.until(pods.agree, f"{mover} is back at another address")
        synced = (await pods.ask(witness, "POST", "/commands/sync_known_nodes", json={}))[1]["message"]

        async def shows_the_new_address() -> bool:
            rows = (await pods.ask(witness, "POST", "/commands/show_known_nodes", json={}))[1]["data"]["nodes"]
            return any(row["name"] == mover and row["addresses"] == ["127.0.0.77"] for row in rows)

        await pods.until(shows_the_new_address, "the new address is shown")
        read = [(await pods.ask(mover, "GET", f"/kv/{name}"))[0] for name in NAMES]
        await pods.stop()
        births = {status["cluster_id"] for status in statuses.values()}
        return {
            "early": sorted(set(early)),
            "leaders": [sorted(names) for names in pods.leaders.values()],
            "births": len(births),
            "statuses": [written, ready, read, strange],
            "shown": {row["name"]: [row["host"], row["port"], row["addresses"]] for row in shown},
            "witness": witness,
            "synced": synced,
        }


def test_nodes_that_appear_one_by_one_under_late_names_are_born_once_and_a_moved_one_is_found(tmp_path: Path) -> None:
    seen = play("tests.cluster.test_first_install:one_by_one", tmp_path)
    assert set(seen["early"]) <= {"initial"}, "nobody leads before all seeds were heard"
    assert all(len(names) == 1 for names in seen["leaders"])
    assert seen["leaders"]
    assert seen["births"] == 1
    assert seen["statuses"] == [[200] * 5, [200] * 5, [200] * 5, 200]
    itself = seen["shown"].pop(seen["witness"])
    assert itself == [f"{seen['witness']}.{HEADLESS}", 9001, []], "a node does not dial itself"
    assert seen["shown"] == {
        name: [f"{name}.{HEADLESS}", 9001, [f"127.0.0.{11 + number}"]]
        for number, name in enumerate(NAMES)
        if name != seen["witness"]
    }
    assert "looks every name up anew" in seen["synced"]
    assert [path for path in tmp_path.glob("raft-*/*") if b"127.0.0." in path.read_bytes()] == []
