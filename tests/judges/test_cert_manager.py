"""A real cert-manager on an API server on three of our nodes makes and renews what the chart asks for, of the authority
that docs/operations.md sets up. That nodes take it while they serve is shown by tests/kubernetes/test_cert_manager.py.

`CERT_MANAGER` names it as tests/tls/cert_manager.py says.
"""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.tls.names import proof_of, proves
from tests.chart.rendering import Values, render
from tests.judges.apiserver import Api
from tests.judges.judged import SPACE, WHY_NOT, judged
from tests.tls import cert_manager
from tests.tls.cert_manager import CLIENT, ISSUER, KINDS, TWO_MINUTES
from tests.tls.certificates import Mounted

pytestmark = pytest.mark.skipif(bool(WHY_NOT or cert_manager.WHY_NOT), reason=WHY_NOT or cert_manager.WHY_NOT)

MADE_SECONDS_MAX = 60.0
RENEWED_SECONDS_MAX = 180.0
POLL_SECONDS = 0.5
VALUES: Values = {
    "tls": {
        "mode": "certManager",
        "certManager": {"evenIfUnknown": True, "issuer": {"name": ISSUER}, **TWO_MINUTES},
        "clients": {"mutual": True, "existingSecret": CLIENT},
    }
}


async def test_what_the_chart_asks_for_is_made_and_renewed_by_time_by_hand_and_when_it_is_lost(tmp_path: Path) -> None:
    async with judged(tmp_path) as (_, api), running(api, tmp_path / "cert-manager.log"):
        asked_for = render(VALUES, namespace=SPACE).named("Certificate", "raft")
        for made in (*cert_manager.authority(), asked_for):
            await api.did("apply", "--namespace", SPACE, "--filename", "-", given=made)
        for name in ("raft", CLIENT):
            waiting = (f"certificate/{name}", "--for=condition=Ready", f"--timeout={MADE_SECONDS_MAX:.0f}s")
            await api.did("wait", "--namespace", SPACE, *waiting)
        nodes, client = Mounted(tmp_path / "raft-tls"), Mounted(tmp_path / CLIENT)
        assert await fetched(api, nodes)
        assert await fetched(api, client)
        shown = through(nodes, client)
        hosts = {f"raft-{number}": f"raft-{number}.raft-headless.{SPACE}.svc" for number in range(3)}
        for member in (*hosts, "raft-6"):  # one that is let in later, too
            assert proves(shown, proof_of(member, hosts)), (member, shown)
        for renewed in (by_hand, by_its_time, by_a_lost_secret):
            shown = await another(api, nodes, client, shown, renewed)


@asynccontextmanager
async def running(api: Api, log: Path) -> AsyncIterator[None]:
    """Its kinds are known, and its controller acts."""
    await api.did("apply", "--server-side", "--filename", str(KINDS))
    await api.did("wait", "--for=condition=Established", "--filename", str(KINDS), "--timeout=30s")
    words = cert_manager.controller(str(api.home / "kubeconfig"), SPACE)
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*words, stdout=file, stderr=file, env=api.environment)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def fetched(api: Api, files: Mounted) -> bool:
    """What the Secret of that name holds now; False: there is none."""
    name = files.folder.name
    said = await api.did("get", "secret", name, "--namespace", SPACE, "--ignore-not-found", "--output=json")
    if said:
        keep(files, json.loads(said)["data"])
    return bool(said)


def keep(files: Mounted, data: dict[str, str]) -> None:
    files.folder.mkdir(exist_ok=True)
    for path in (files.cert, files.key, files.ca):
        Path(path).write_bytes(base64.b64decode(data[Path(path).name]))


def authority_in(files: Mounted) -> bytes:
    return Path(files.ca).read_bytes()


def through(nodes: Mounted, client: Mounted) -> dict[str, Any]:
    """A handshake in which both show theirs and trust the other's authority alone; the node's certificate."""
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=nodes.ca)
    server_side.load_cert_chain(nodes.cert, nodes.key)
    server_side.verify_mode = ssl.CERT_REQUIRED
    client_side = ssl.create_default_context(cafile=client.ca)
    client_side.load_cert_chain(client.cert, client.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client_side.wrap_bio(back, there, server_hostname=f"raft-0.raft-headless.{SPACE}.svc")
    answers = server_side.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (asks, answers):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert answers.getpeercert(), "the client's was asked for, and taken"
    return dict(asks.getpeercert() or {})


Renewed = Callable[[Api], Awaitable[object]]


async def by_hand(api: Api) -> None:
    """As `cmctl renew` asks for it."""
    held = json.loads(await api.did("get", "certificate", "raft", "--namespace", SPACE, "--output=json"))
    patch = json.dumps(cert_manager.asked_to_renew(held))
    words = ("--subresource=status", "--type=merge", f"--patch={patch}")
    await api.did("patch", "certificate", "raft", "--namespace", SPACE, *words)


async def by_its_time(api: Api) -> None:
    """cert-manager renews by itself."""


async def by_a_lost_secret(api: Api) -> None:
    await api.did("delete", "secret", "raft-tls", "--namespace", SPACE)


async def another(api: Api, nodes: Mounted, client: Mounted, old: dict[str, Any], renewed: Renewed) -> dict[str, Any]:
    """The certificate that takes the place of the old one. It is of the same authority: who has the old one goes on."""
    trusted, ends_at = authority_in(nodes), time.monotonic() + RENEWED_SECONDS_MAX
    await renewed(api)
    shown = old
    while shown["serialNumber"] == old["serialNumber"]:
        assert time.monotonic() < ends_at, "nothing was renewed"
        await asyncio.sleep(POLL_SECONDS)
        shown = through(nodes, client) if await fetched(api, nodes) else old
    assert authority_in(nodes) == trusted
    assert shown["subjectAltName"] == old["subjectAltName"]
    return shown
