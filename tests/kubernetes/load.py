"""The load: runs in a pod of the cluster under test, beside the nodes, and says what became of every single operation.

Why it exists: a client inside the cluster sees what the programs there see: Services, endpoints that lag, DNS. Each
writer owns a key and writes 1, 2, 3, ... through `raftclient`, one write after the other; with `--plain` as `curl` in a
loop would: each request once, over a connection of its own. It imports nothing else of the project and judges nothing:
`oracle.py` does, from what is printed here, one JSON object a line.

    {"at", "op": "put" | "get", "key", "n", "outcome": "acknowledged" | "unknown" | "failed", "ms", "retries", ...}
    {"at", "op": "stood", "ms"}

`at`: seconds since the epoch when it ended; `revision` with an acknowledged put, `value` with a read, else `why`. The
second says that this process itself stood still so long, which is no fault of those that it asks. With
`--tls` it takes up new files as docs/operations.md has a program do that goes on, and says `{"op": "tls", "ca": ...}`.
"""

import argparse
import asyncio
import hashlib
import json
import signal
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp

from raftclient import ClientError, OutcomeUnknown, RaftClient

READ_EVERY = 10
"""Each writer reads its key after so many writes."""


FILES_EVERY_SECONDS = 1.0

LOOK_SECONDS = 0.1
STOOD_SECONDS_MIN = 0.5
"""This process looks at its own clock so often, and says when it comes so late."""

PLAIN_SECONDS_MAX = 10.0
"""One request of a plain client: above the time that a node takes at most."""


class Refused(Exception):
    """An answer that says that nothing was done."""


class Doubtful(Exception):
    """Anything else that is not what was asked for."""


class Found(NamedTuple):
    value: bytes


class PlainClient:
    """What of a `RaftClient` the load uses, and never more than one attempt."""

    retries = 0

    def __init__(self, endpoint: str) -> None:
        self._url = endpoint
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), timeout=aiohttp.ClientTimeout(total=PLAIN_SECONDS_MAX)
        )

    async def __aenter__(self) -> "PlainClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def put(self, key: str, value: str) -> int:
        """The revision."""
        status, body = await self._ask("PUT", key, value)
        if status == 200:
            return int(json.loads(body)["revision"])
        raise (Refused if status == 503 else Doubtful)(f"{status} {body[:200]!r}")

    async def get(self, key: str) -> Found | None:
        """None: there is no such key."""
        status, body = await self._ask("GET", key, None)
        if status not in (200, 404):
            raise Refused(f"{status} {body[:200]!r}")
        return Found(body) if status == 200 else None

    async def _ask(self, method: str, key: str, value: str | None) -> tuple[int, bytes]:
        try:
            async with self._session.request(method, f"{self._url}/kv/{key}", data=value) as answer:
                return answer.status, await answer.read()
        except aiohttp.ClientConnectorError as error:
            raise Refused(str(error)) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Doubtful(f"{type(error).__name__} {error}") from None


class Writer:
    """One key, one client, one operation at a time."""

    def __init__(self, key: str, client: RaftClient | PlainClient) -> None:
        self.key = key
        self.operations = 0
        self._client = client

    async def run(self, writes_max: int, period_s: float, stopped: asyncio.Event) -> None:
        """Write at most every `period_s` seconds, until told to stop or done."""
        for number in range(1, writes_max + 1):
            begun = time.monotonic()
            await self._put(number)
            if number % READ_EVERY == 0:
                await self._get(number)
            if stopped.is_set():
                return
            await asyncio.sleep(max(0.0, period_s - (time.monotonic() - begun)))

    async def _put(self, number: int) -> None:
        begun, retries = time.monotonic(), self._client.retries
        try:
            revision = await self._client.put(self.key, str(number))
            self._say("put", number, "acknowledged", begun, retries, revision=revision)
        except (OutcomeUnknown, Doubtful) as unknown:
            self._say("put", number, "unknown", begun, retries, why=str(unknown))
        except (ClientError, Refused) as failed:
            self._say("put", number, "failed", begun, retries, why=str(failed))

    async def _get(self, number: int) -> None:
        begun, retries = time.monotonic(), self._client.retries
        try:
            found = await self._client.get(self.key)
        except (ClientError, Refused, Doubtful) as failed:
            self._say("get", number, "failed", begun, retries, why=str(failed))
        else:
            value = int(found.value) if found is not None else 0
            self._say("get", number, "acknowledged", begun, retries, value=value)

    def _say(self, op: str, number: int, outcome: str, begun: float, retries_before: int, **more: object) -> None:
        self.operations += 1
        line = {
            "at": round(time.time(), 4),
            "op": op,
            "key": self.key,
            "n": number,
            "outcome": outcome,
            "ms": round((time.monotonic() - begun) * 1000, 2),
            "retries": self._client.retries - retries_before,
            **more,
        }
        print(json.dumps(line, separators=(",", ":")), flush=True)


class Files:
    """A client's certificates, in the context that its connections have."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / name for name in ("ca.crt", "tls.crt", "tls.key")]
        self._taken = self._held()
        self.context = ssl.create_default_context(cafile=str(self._paths[0]))
        self.context.load_cert_chain(self._paths[1], self._paths[2])

    async def watch(self) -> None:
        """Take up what is new, until cancelled."""
        while True:
            await asyncio.sleep(FILES_EVERY_SECONDS)
            held = self._held()
            if held == self._taken:
                continue
            try:
                self.context.load_verify_locations(self._paths[0])
                self.context.load_cert_chain(self._paths[1], self._paths[2])
            except ssl.SSLError:  # the files were swapped between certificate and key
                continue
            self._taken = held
            said = {name: hashlib.sha256(blob).hexdigest() for name, blob in zip(("ca", "cert"), held, strict=False)}
            print(json.dumps({"op": "tls", **said}), flush=True)

    def _held(self) -> list[bytes]:
        return [path.read_bytes() for path in self._paths]


async def watch_itself() -> None:
    """Until cancelled."""
    while True:
        due = time.monotonic() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        late = time.monotonic() - due
        if late > STOOD_SECONDS_MIN:
            print(json.dumps({"at": round(time.time(), 4), "op": "stood", "ms": round(late * 1000, 2)}), flush=True)


async def main() -> None:
    """Until SIGTERM, or until every writer is done; then one last line that counts what was said before."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoints", required=True, help="host:port,host:port,...")
    parser.add_argument("--prefix", default="load-")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--writes-max", type=int, default=5_000, help="of each writer")
    parser.add_argument("--period-ms", type=float, default=200.0, help="of each writer, from write to write")
    parser.add_argument("--plain", type=int, default=0, help="1: ask once, over a connection of its own")
    parser.add_argument("--tls", default="", help="folder of ca.crt, tls.crt and tls.key: https, mutual")
    asked = parser.parse_args()
    endpoints = [f"{'https' if asked.tls else 'http'}://{one}" for one in asked.endpoints.split(",")]
    files = Files(Path(asked.tls)) if asked.tls else None
    tls = files.context if files else None
    watching = [asyncio.create_task(watch_itself()), *([asyncio.create_task(files.watch())] if files else [])]
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        writers = []
        for number in range(asked.writers):
            first = number % len(endpoints)  # no two writers begin at the same node
            client: RaftClient | PlainClient
            if asked.plain:
                client = await stack.enter_async_context(PlainClient(endpoints[first]))
            else:
                client = await stack.enter_async_context(RaftClient(endpoints[first:] + endpoints[:first], tls=tls))
            writers.append(Writer(f"{asked.prefix}{number}", client))
        await asyncio.gather(*(one.run(asked.writes_max, asked.period_ms / 1000, stopped) for one in writers))
    for task in watching:
        task.cancel()
    print(json.dumps({"op": "end", "operations": sum(one.operations for one in writers)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
