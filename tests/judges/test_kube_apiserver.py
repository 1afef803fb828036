"""A real kube-apiserver on three of our nodes: kubectl sees what it sees on etcd.

`KUBE_APISERVER` and `KUBECTL` name the programs, else PATH does. Every test starts its own nodes and API server.
"""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.judges.apiserver import EVENT_TTL_SECONDS, Api
from tests.judges.applying import config_map, custom
from tests.judges.judged import SPACE, WHY_NOT, everything_agrees, judged, log_is_clean

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

EVENT_SECONDS_MAX = EVENT_TTL_SECONDS + 30.0


async def test_kubectl_does_what_it_does_on_etcd(tmp_path: Path) -> None:
    async with judged(tmp_path) as (cluster, api):
        watching = await asyncio.create_subprocess_exec(
            *api.command("get", "configmaps", "-n", SPACE, "--watch", "--output-watch-events", "-o", "json"),
            stdout=asyncio.subprocess.PIPE,
            env=api.environment,
            limit=1 << 20,
        )
        try:
            await _objects(api)
            await _server_side_apply(api)
            await _chunks(api)
            await _what_kubectl_watched(watching)
        finally:
            watching.kill()
            await watching.communicate()
        assert await everything_agrees(cluster, api) > 200
        log_is_clean(api, [])


async def _objects(api: Api) -> None:
    await api.did("apply", "-n", SPACE, "-f", "-", given=config_map("one", "1"))
    await api.did("apply", "-n", SPACE, "-f", "-", given=config_map("one", "2"))
    assert await api.did("get", "configmap", "one", "-n", SPACE, "-o", "jsonpath={.data.value}") == "2"
    await api.did("delete", "configmap", "one", "-n", SPACE)
    assert "NotFound" in (await api.kubectl("get", "configmap", "one", "-n", SPACE)).err
    await api.did("apply", "-n", SPACE, "-f", "-", given=custom("first", "guilty"))
    assert await api.did("get", "verdict", "first", "-n", SPACE, "-o", "jsonpath={.spec.value}") == "guilty"
    stale = config_map("stale", "1")
    await api.did("create", "-n", SPACE, "-f", "-", given=stale)
    old = json.loads(await api.did("get", "configmap", "stale", "-n", SPACE, "-o", "json"))
    await api.did("apply", "--server-side", "-n", SPACE, "-f", "-", given=stale | {"data": {"other": "x"}})
    refused = await api.kubectl("replace", "-n", SPACE, "-f", "-", given=old)
    assert refused.code == 1
    assert "Conflict" in refused.err


async def _server_side_apply(api: Api) -> None:
    """Two managers of one field: the second is refused, and may insist."""
    apply = ("apply", "--server-side", "-n", SPACE, "-f", "-")
    await api.did(*apply, "--field-manager=a", given=config_map("shared", "of a"))
    refused = await api.kubectl(*apply, "--field-manager=b", given=config_map("shared", "of b"))
    assert refused.code == 1
    assert 'conflict with "a"' in refused.err
    await api.did(*apply, "--field-manager=b", "--force-conflicts", given=config_map("shared", "of b"))
    assert await api.did("get", "configmap", "shared", "-n", SPACE, "-o", "jsonpath={.data.value}") == "of b"


async def _chunks(api: Api) -> None:
    """A list in pieces shows the state as of its first piece, whatever is written between two."""
    many = [config_map(f"many-{number:03}", str(number)) for number in range(120)]
    await api.did("create", "-n", SPACE, "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": many})
    before = (await api.did("get", "configmaps", "-n", SPACE, "-o", "name")).split()
    assert (await api.did("get", "configmaps", "-n", SPACE, "-o", "name", "--chunk-size=25")).split() == before
    path, names, pages, go_on = f"/api/v1/namespaces/{SPACE}/configmaps", [], 0, ""
    while pages == 0 or go_on:
        page = await api.get(path, limit="25", **({"continue": go_on} if go_on else {}))
        names += [f"configmap/{one['metadata']['name']}" for one in page["items"]]
        pages, go_on = pages + 1, page["metadata"].get("continue", "")
        assert len(names) + page["metadata"].get("remainingItemCount", 0) == len(before)
        await api.did("apply", "-n", SPACE, "-f", "-", given=config_map(f"zz-{pages}", "later"))
    assert (pages, names) == (5, before)


async def _what_kubectl_watched(watching: asyncio.subprocess.Process) -> None:
    """`kubectl get --watch` was told of all that, in order."""
    assert watching.stdout is not None
    text, heard = "", list[tuple[str, str]]()
    async with asyncio.timeout(30):
        while "zz-5" not in [name for _, name in heard]:
            text += (await watching.stdout.read(1 << 16)).decode()
            heard = _events(text)
    assert [kind for kind, name in heard if name == "one"] == ["ADDED", "MODIFIED", "DELETED"]
    assert [kind for kind, name in heard if name == "shared"] == ["ADDED", "MODIFIED"]
    assert [name for kind, name in heard if name.startswith("many-")] == [f"many-{n:03}" for n in range(120)]


def _events(text: str) -> list[tuple[str, str]]:
    """(type, name) of the JSON objects that stand complete in what was printed so far."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        try:
            event, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        found.append((event["type"], event["object"]["metadata"]["name"]))
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


async def test_events_expire_by_their_leases(tmp_path: Path) -> None:
    async with judged(tmp_path) as (cluster, api):
        path = f"/api/v1/namespaces/{SPACE}/events"
        for number in range(5):
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"event-{number}", "namespace": SPACE},
                "involvedObject": {"kind": "ConfigMap", "namespace": SPACE, "name": "one"},
                "reason": "Judged",
            }
            await api.did("create", "-n", SPACE, "-f", "-", given=event)
        made = time.monotonic()
        assert len((await api.get(path))["items"]) == 5
        async with asyncio.timeout(EVENT_SECONDS_MAX):
            while (await api.get(path))["items"]:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.2)
        assert time.monotonic() - made > EVENT_TTL_SECONDS / 2
        assert not (await api.get(path, resourceVersion="0"))["items"]
        await everything_agrees(cluster, api)
        log_is_clean(api, [])
