"""A kube-apiserver on somebody's etcd, by itself: no kubelet, no controllers, no cluster.

Why it exists: Kubernetes' API server is the most demanding client that etcd's API has, and everything that it knows, it
keeps there. It must be started as its own manual says: no option makes it expect less of its store.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.ports import free_port

READY_SECONDS_MAX = 60.0
END_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
TRIES_MAX = 10
COME_AGAIN_SECONDS = 1.0
KUBECTL_SECONDS_MAX = 60.0
TOKEN = "of-the-judge"
EVENT_TTL_SECONDS = 10
COMPACTION_SECONDS = 20
"""The default is five minutes: a history that is let go under load is part of the judgement."""


@dataclass(frozen=True)
class Programs:
    """Where they are."""

    apiserver: str
    kubectl: str
    openssl: str


def programs() -> Programs | str:
    """The three of them, or what is missing."""
    found = {
        "kube-apiserver": os.environ.get("KUBE_APISERVER") or shutil.which("kube-apiserver"),
        "kubectl": os.environ.get("KUBECTL") or shutil.which("kubectl"),
        "openssl": shutil.which("openssl"),
    }
    for name, path in found.items():
        if not path:
            return f"{name} is not there: tests/judges/__init__.py says how to name it"
    return Programs(*map(str, found.values()))


@dataclass(frozen=True)
class Ran:
    """What became of one kubectl."""

    code: int
    out: str
    err: str


class Api:
    """One API server that is ready: by kubectl, and by plain requests where kubectl has no word for what is meant."""

    def __init__(self, home: Path, kubectl: str, url: str, http: aiohttp.ClientSession) -> None:
        self.home = home
        self.http = http
        self.url = url
        self.log = home / "kube-apiserver.log"
        self._kubectl = kubectl

    def command(self, *words: str) -> list[str]:
        return [self._kubectl, "--kubeconfig", str(self.home / "kubeconfig"), *words]

    async def kubectl(self, *words: str, given: Any = None) -> Ran:
        """`kubectl WORDS...`; `given`: an object, which it reads from its input."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.command(*words), stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment
        )
        text = b"" if given is None else json.dumps(given).encode()
        try:
            out, err = await asyncio.wait_for(process.communicate(text), KUBECTL_SECONDS_MAX)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def did(self, *words: str, given: Any = None) -> str:
        """The output of a kubectl that must succeed."""
        ran = await self.kubectl(*words, given=given)
        assert ran.code == 0, f"kubectl {' '.join(words)}: exit {ran.code}\n{ran.err}"
        return ran.out

    async def get(self, path: str, **parameters: str) -> Any:
        """What is there. "Come again", as a kind says that was defined a moment ago, is obeyed as every client does."""
        for tries_left in reversed(range(TRIES_MAX)):
            async with self.http.get(f"{self.url}{path}", params=parameters) as answer:
                if answer.status == 200:
                    return await answer.json()
                said = f"GET {path} {parameters}: {answer.status}\n{await answer.text()}"
                assert answer.status == 429, said
                assert tries_left, said
            await asyncio.sleep(COME_AGAIN_SECONDS)
        return None

    @property
    def environment(self) -> dict[str, str]:
        """Of kubectl: its caches stay in the test's folder."""
        return os.environ | {"HOME": str(self.home)}


@asynccontextmanager
async def running_apiserver(found: Programs, home: Path, store: Sequence[str]) -> AsyncIterator[Api]:
    """An API server that is ready and keeps its state in `store`, URLs of etcd's API."""
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    _write_identities(home, url)
    await _openssl(found.openssl, "genrsa", "-out", str(home / "accounts.key"), "2048")
    connector = aiohttp.TCPConnector(ssl=False)  # its certificate is its own, of this start
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:
        api = Api(home, found.kubectl, url, http)
        with api.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                found.apiserver, *_options(home, port, store), stdout=log, stderr=log, env=os.environ | {"TZ": "UTC"}
            )
        try:
            await _ready(api, process)
            yield api
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), END_SECONDS_MAX)
                except TimeoutError:
                    process.kill()
                    await process.wait()
    await asyncio.sleep(0.1)  # TLS transports close in turns of the loop that nobody can await


def _options(home: Path, port: int, store: Sequence[str]) -> list[str]:
    return [
        f"--etcd-servers={','.join(store)}",
        f"--etcd-compaction-interval={COMPACTION_SECONDS}s",
        f"--event-ttl={EVENT_TTL_SECONDS}s",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--cert-dir={home / 'certificates'}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={home / 'accounts.key'}",
        f"--service-account-signing-key-file={home / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # loopback is no address for endpoints
    ]


def _write_identities(home: Path, url: str) -> None:
    home.mkdir()
    (home / "tokens.csv").write_text(f'{TOKEN},judge,judge,"system:masters"\n')
    (home / "kubeconfig").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "judge",
                "clusters": [{"name": "judge", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
                "users": [{"name": "judge", "user": {"token": TOKEN}}],
                "contexts": [{"name": "judge", "context": {"cluster": "judge", "user": "judge"}}],
            }
        )
    )


async def _openssl(program: str, *words: str) -> None:
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *words, stdout=null, stderr=null)
    assert await process.wait() == 0, f"openssl {' '.join(words)}"


async def _ready(api: Api, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            while process.returncode is None:
                try:
                    async with api.http.get(f"{api.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        pass
    raise AssertionError(f"not ready within {READY_SECONDS_MAX} s\n{api.log.read_text()[-3000:]}")
