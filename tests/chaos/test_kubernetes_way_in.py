"""Finding the release, the errors on the way, the lock, and the forwarded connections, against a server that can fail
on demand."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kubernetes.client import Configuration

from chaos import healing
from chaos.errors import ChaosError, Refused, Usage
from chaos.evidence.folder import UNDO_FILE
from chaos.journal import Header, UndoJournal
from chaos.targets.kubernetes import account as account_module
from chaos.targets.kubernetes import api as api_module
from chaos.targets.kubernetes import dial, lease
from chaos.targets.kubernetes.account import Account, open_account
from chaos.targets.kubernetes.api import Api, ApiError, Forbidden, Unreachable
from chaos.targets.kubernetes.carry import NOT_FORWARDED
from chaos.targets.kubernetes.execute import Ran
from chaos.targets.kubernetes.forward import Forwards
from chaos.targets.kubernetes.lease import Lock
from chaos.targets.kubernetes.pods import delete_pod, place_of
from chaos.targets.kubernetes.release import Release, find_release, release_of
from chaos.targets.kubernetes.target import open_kubernetes
from chaos.targets.port import UndoStep
from tests.chaos.fake_apiserver import FakeApiServer, fake_apiserver, status

SETS = "/apis/apps/v1/namespaces/home/statefulsets"
PODS = "/api/v1/namespaces/home/pods"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/home/leases/raft-chaos-raft"
ANSWER_BYTES = 300_000
PROXY = "http://proxy.example:3128"


def stateful_set(name: str = "raft", namespace: str = "home", **labels: str) -> dict[str, Any]:
    own = {"app.kubernetes.io/name": "raft", "app.kubernetes.io/instance": name, "app.kubernetes.io/component": "node"}
    ports = [{"name": "client", "containerPort": 8001}, {"name": "peer", "containerPort": 9001}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {**own, **labels}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": own},
            "template": {
                "metadata": {"labels": own},
                "spec": {"containers": [{"name": "node", "image": "raft:test", "ports": ports}]},
            },
        },
    }


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    async with fake_apiserver() as fake:
        fake.put(f"{SETS}/raft", stateful_set())
        fake.put("/api/v1/namespaces/home", {"metadata": {"name": "home", "labels": {}}})
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    made = Api(await open_account(None))
    yield made
    await made.close()


@pytest.fixture
def release(server: FakeApiServer) -> Release:
    return release_of("fake", stateful_set())


async def test_a_credential_plugin_that_never_answers_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> dict[str, str]:
        return await asyncio.Future()

    monkeypatch.setattr(api.account, "headers", never)
    monkeypatch.setattr(api_module, "REQUEST_SECONDS_MAX", 0.05)
    async with asyncio.timeout(5.0):
        with pytest.raises(Unreachable):
            await api.get(PODS)


async def test_a_token_in_a_file_is_read_again_without_the_end_of_its_line(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = server.kubeconfig(tmp_path)
    config = json.loads(path.read_text())
    config["users"] = [{"name": "filed", "user": {"tokenFile": "token"}}]
    config["contexts"][0]["context"]["user"] = "filed"
    path.write_text(json.dumps(config))
    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setattr(account_module, "TOKEN_FRESH_SECONDS", 0.0)
    account = await open_account(None)
    assert await account.headers() == {"Authorization": "Bearer first"}
    token.write_text("second\n")
    assert await account.headers() == {"Authorization": "Bearer second"}
    token.unlink()
    assert await account.headers() == {"Authorization": "Bearer second"}


async def test_whom_the_api_server_does_not_know_is_told_what_to_look_at(server: FakeApiServer, api: Api) -> None:
    server.before = lambda *_: status(401, "Unauthorized")
    with pytest.raises(Forbidden, match=r"by context fake \(Unauthorized\): has its token or certificate expired\?"):
        await find_release(api, "home", None)


async def test_a_change_that_is_under_way_when_the_run_is_ended_is_there_before_the_healing_begins(
    server: FakeApiServer, api: Api
) -> None:
    arrived, real = asyncio.Event(), server.put

    async def slow(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(0.2)
        real(f"{request.path}/late", await request.json())
        return web.json_response({})

    server.made_by = slow
    creating = asyncio.ensure_future(api.create(PODS, {"metadata": {"name": "late"}}))
    await arrived.wait()
    creating.cancel()
    await asyncio.wait((creating,))
    assert creating.cancelled()
    assert f"{PODS}/late" in server.objects


async def test_what_is_being_deleted_when_the_run_is_ended_is_gone_before_the_healing_begins(
    server: FakeApiServer, api: Api
) -> None:
    arrived = asyncio.Event()
    server.put(f"{PODS}/late", {"metadata": {"name": "late"}})
    server.slow_s = 0.2
    server.before = lambda *_: arrived.set()
    deleting = asyncio.ensure_future(api.delete(f"{PODS}/late"))
    await arrived.wait()
    deleting.cancel()
    await asyncio.wait((deleting,))
    assert f"{PODS}/late" not in server.objects


async def test_a_list_that_expires_between_two_pages_is_read_from_the_beginning(
    server: FakeApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def page(_: str, path: str, query: dict[str, str], *_more: object) -> dict[str, Any]:
        asked.append(query.get("continue", ""))
        if query.get("continue") and len(asked) < 4:
            raise ApiError(f"{path}: the provided continue parameter is too old", 410)
        more = {} if query.get("continue") else {"continue": "next"}
        return {"items": [{"page": query.get("continue", "")}], "metadata": more}

    monkeypatch.setattr(api, "_request", page)
    assert await api.items(PODS) == [{"page": ""}, {"page": "next"}]
    assert asked == ["", "next", "", "next"]


# -- Finding it -------------------------------------------------------------------------------------------------------


async def test_the_one_release_of_the_context_s_namespace_is_found(api: Api) -> None:
    found = await find_release(api, None, None)
    assert found.title == "release raft in namespace home (context fake)"
    assert found.nodes == ("raft-0", "raft-1", "raft-2")
    assert (found.client_port, found.peer_port) == (8001, 9001)


async def test_where_no_release_is_found_context_and_namespaces_are_named(api: Api) -> None:
    with pytest.raises(Refused, match="No release 'other' was found in context fake, namespace home: is it installed"):
        await find_release(api, "home", "other")
    with pytest.raises(Refused, match="No release of the chart was found in context fake, namespace empty"):
        await find_release(api, "empty", None)


async def test_other_namespaces_are_searched_where_none_was_named(server: FakeApiServer, api: Api) -> None:
    server.objects.clear()
    server.put("/apis/apps/v1/statefulsets/x", stateful_set("far", "away"))
    assert (await find_release(api, None, None)).namespace == "away"
    server.put("/apis/apps/v1/statefulsets/y", stateful_set("near", "by"))
    with pytest.raises(Usage, match=r"2 releases were found .*all namespaces.*--namespace away --release far; --name"):
        await find_release(api, None, None)
    server.forbidden.add("/apis/apps/v1/statefulsets")
    with pytest.raises(Refused, match=r"namespace home .this account may not search others: name one with --namespace"):
        await find_release(api, None, None)


async def test_a_stateful_set_of_something_else_is_none(server: FakeApiServer, api: Api) -> None:
    server.objects.clear()
    server.put(f"{SETS}/db", stateful_set("db", **{"app.kubernetes.io/name": "db"}))
    with pytest.raises(Refused):
        await find_release(api, None, None)
    server.put(f"{SETS}/named", stateful_set("n", **{"app.kubernetes.io/name": "mine", "helm.sh/chart": "raft-0.1.0"}))
    assert (await find_release(api, None, None)).name == "n"


async def test_a_chart_without_the_ports_is_refused() -> None:
    odd = stateful_set()
    odd["spec"]["template"]["spec"]["containers"][0]["ports"] = []
    with pytest.raises(Refused, match="no port named client, peer"):
        release_of("fake", odd)


# -- Errors are sentences ---------------------------------------------------------------------------------------------


async def test_without_a_kubeconfig_the_file_and_the_cure_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(Refused, match=r"no kubeconfig .*/none.* set KUBECONFIG"):
        await open_kubernetes(None, None, None)


async def test_a_kubeconfig_that_cannot_be_looked_at_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/" + "x" * 1000)
    with pytest.raises(Refused, match=r"kubeconfig /xxx.* cannot be looked at: File name too long; set KUBECONFIG"):
        await open_account(None)


async def test_without_a_home_and_outside_of_a_pod_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("KUBECONFIG", "~/nowhere")
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(Refused, match=r"no kubeconfig .* set KUBECONFIG"):
        await open_account(None)


def test_a_credential_plugin_that_hangs_does_not_keep_the_tool_from_ending() -> None:
    program = (
        "import asyncio, time\nfrom chaos.targets.kubernetes.account import _in_thread\n"
        "async def main():\n    await asyncio.wait_for(_in_thread(time.sleep, 600), 0.05)\n"
        "try:\n    asyncio.run(main())\nexcept TimeoutError:\n    print('ended')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert ended.stdout == "ended\n", ended.stderr


async def test_an_unknown_context_is_named_with_those_that_there_are(server: FakeApiServer) -> None:
    with pytest.raises(Usage, match=r"no context 'prod' .* it knows: fake"):
        await open_kubernetes("prod", None, None)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "current-context: x", "contexts: 5"])
async def test_a_broken_kubeconfig_is_refused(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broken"
    path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(Refused, match=r"kubeconfig .*broken cannot be used"):
        await open_kubernetes(None, None, None)


async def test_a_missing_permission_is_told_with_verb_and_resource_and_the_cure(
    server: FakeApiServer, api: Api
) -> None:
    server.forbidden.add(SETS)
    with pytest.raises(Forbidden, match=r"Context fake lacks a permission: .*cannot GET .*chaos\.rbac\.create=true"):
        await find_release(api, "home", None)
    assert Forbidden.code == Refused.code


async def test_a_cluster_that_does_not_answer_is_named(api: Api) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        api.account.host = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"context fake at http://127\.0\.0\.1:\d+ does not answer"):
            await find_release(api, None, None)


# -- Kills ------------------------------------------------------------------------------------------------------------


async def test_a_pod_that_was_replaced_in_the_meantime_is_not_deleted(
    server: FakeApiServer, api: Api, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(f"{PODS}/raft-0", {"metadata": {"name": "raft-0"}})
    real = api.delete

    async def replaced_before(path: str, options: Any = None) -> bool:
        server.objects[path]["metadata"]["uid"] = "another"
        return await real(path, options)

    monkeypatch.setattr(api, "delete", replaced_before)
    with pytest.raises(Refused, match="replaced in the instant before"):
        await delete_pod(api, release, "raft-0")
    assert f"{PODS}/raft-0" in server.objects


async def test_a_pod_that_is_gone_or_leaving_is_not_killed_again(
    server: FakeApiServer, api: Api, release: Release
) -> None:
    with pytest.raises(Refused, match="no pod raft-0 in namespace home"):
        await delete_pod(api, release, "raft-0")
    server.put(f"{PODS}/raft-0", {"metadata": {"name": "raft-0", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    with pytest.raises(Refused, match="raft-0 is being deleted already"):
        await delete_pod(api, release, "raft-0")
    assert not [change for change in server.changes if change[0] == "DELETE"]


def test_a_container_that_was_restarted_in_place_is_another_instance() -> None:
    def pod(restarts: int, **state: Any) -> dict[str, Any]:
        status = {"name": "node", "restartCount": restarts, "state": state}
        return {
            "metadata": {"uid": "u"},
            "spec": {"nodeName": "worker-1"},
            "status": {"containerStatuses": [status], "conditions": [{"type": "Ready", "status": "True"}]},
        }

    first, second = place_of("n", pod(0, running={})), place_of("n", pod(1, running={}))
    assert first.instance != second.instance
    assert first.ready
    assert place_of("n", pod(1, waiting={"reason": "CrashLoopBackOff"})).instance == ""
    assert place_of("n", None).instance == ""


# -- Dials -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [False, True], ids=["it runs on", "it leaves"])
async def test_a_dial_that_a_running_pod_could_not_make_is_no_cut(
    leaves: bool, server: FakeApiServer, api: Api, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"name": "node", "restartCount": 0, "state": {"running": {}}}
    for node in ("raft-0", "raft-1"):
        status = {"podIP": "10.0.0.1", "containerStatuses": [state]}
        metadata = {"name": node, "labels": release.labels}
        server.put(f"{PODS}/{node}", {"metadata": metadata, "spec": {}, "status": status})

    async def broken(*_: object) -> Ran:
        if leaves:
            server.objects[f"{PODS}/raft-0"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return Ran(None, "", "the runtime is gone")

    monkeypatch.setattr(dial, "run_in_pod", broken)
    monkeypatch.setattr(dial, "PAUSE_SECONDS", 0.0)
    if leaves:
        assert await dial.dial(api, release, [("raft-0", "raft-1")]) == {("raft-0", "raft-1"): False}
    else:
        with pytest.raises(ChaosError, match=r"Dialling from pod raft-0 .* failed: the runtime is gone"):
            await dial.dial(api, release, [("raft-0", "raft-1")])


# -- The lock ---------------------------------------------------------------------------------------------------------


async def test_a_second_run_is_refused_until_the_first_is_over(
    server: FakeApiServer, api: Api, release: Release
) -> None:
    first, second = Lock(api, release), Lock(api, release)
    await first.take("r1", 60)
    with pytest.raises(Refused, match=r"Run r1 works on release raft .* take back what it did with `raft-chaos heal"):
        await second.take("r2", 60)
    await first.take("r1", 60)  # renewed
    await first.release()
    await second.take("r2", 60)
    await first.release()
    assert server.objects[LEASE]["spec"]["holderIdentity"] == "r2"
    await second.release()
    assert LEASE not in server.objects


@pytest.mark.parametrize("clock", [0.0, 2e9, 4e9], ids=["long ago", "then", "in the future"])
async def test_no_run_takes_the_lock_of_another_whatever_the_clocks_say(
    server: FakeApiServer, api: Api, release: Release, clock: float
) -> None:
    await Lock(api, release, lambda: clock).take("r1", 15)
    with pytest.raises(Refused):
        await Lock(api, release, lambda: 2e9).take("r2", 15)
    assert server.objects[LEASE]["spec"]["holderIdentity"] == "r1"


@pytest.mark.slowest
@pytest.mark.parametrize("clock", [0.0, 2e9, 4e9], ids=["long ago", "then", "in the future"])
async def test_whether_a_run_lives_is_seen_and_not_read_off_a_clock(
    server: FakeApiServer, api: Api, release: Release, clock: float
) -> None:
    run, healer, said = Lock(api, release, lambda: clock), Lock(api, release, lambda: 2e9), list[str]()
    await run.take("r1", 1)
    asked = asyncio.ensure_future(healer.refuse_living((), said.append))
    await asyncio.sleep(0.3)
    server.objects[LEASE]["spec"]["renewTime"] = "another"
    with pytest.raises(Refused, match="Run r1 still goes on"):
        await asked
    began = time.monotonic()
    await healer.refuse_living((), said.append)
    assert time.monotonic() - began >= 1.0
    await healer.refuse_living(("r1",), said.append)
    assert len(said) == 2


async def test_a_lease_that_says_that_it_lasts_for_ever_is_not_watched_for_ever(
    server: FakeApiServer, api: Api, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS_MAX", 0.1)
    await Lock(api, release).take("r1", 1e9)
    async with asyncio.timeout(5):
        await Lock(api, release).refuse_living((), print)


@pytest.mark.parametrize("changes", ["answered and lost", "deleted"])
async def test_a_renewal_that_meets_a_change_looks_again(
    server: FakeApiServer, api: Api, release: Release, changes: str
) -> None:
    """An answer that was lost looks like a conflict with somebody else: the client sends a PUT a second time."""
    run, once = Lock(api, release), [True]
    await run.take("r1", 15)

    def before(method: str, path: str) -> None:
        if method == "PUT" and once:
            once.pop()
            if changes == "deleted":
                del server.objects[path]
            else:
                server.put(path, server.objects[path])

    server.before = before
    await run.take("r1", 15)
    assert server.objects[LEASE]["spec"]["holderIdentity"] == "r1"
    assert not once


async def test_a_lock_that_was_asked_for_when_the_run_ended_is_let_go(
    server: FakeApiServer, api: Api, release: Release
) -> None:
    arrived, real = asyncio.Event(), server.put
    run = Lock(api, release)

    async def slow(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(0.1)
        real(LEASE, await request.json())
        return web.json_response({})

    server.made_by = slow
    taking = asyncio.ensure_future(run.take("r1", 15))
    await arrived.wait()
    taking.cancel()
    await asyncio.wait((taking,))
    assert LEASE in server.objects
    await run.release()
    assert LEASE not in server.objects


async def test_of_two_that_take_it_at_once_one_is_refused(server: FakeApiServer, api: Api, release: Release) -> None:
    taken = await asyncio.gather(
        *(Lock(api, release).take(f"r{number}", 60) for number in range(4)), return_exceptions=True
    )
    assert [one for one in taken if one is None] == [None]
    assert all(isinstance(one, Refused) for one in taken if one is not None)


@pytest.mark.slowest
async def test_healing_from_elsewhere_waits_for_a_silent_run_and_is_refused_by_one_that_lives(
    server: FakeApiServer, api: Api, release: Release
) -> None:
    run, said = Lock(api, release), list[str]()
    target = await open_kubernetes(None, None, None)
    try:
        await run.take("r1", 2)
        found = await healing.find(target, Path("nowhere"), "")
        healer = asyncio.ensure_future(healing.heal(target, found, True, said.append))
        await asyncio.sleep(0.8)
        await run.take("r1", 2)  # renewed, so it lives
        with pytest.raises(Refused, match=r"Run r1 still goes on .* nothing was changed"):
            await healer
        assert LEASE in server.objects
        async with asyncio.timeout(5):
            healed = await healing.heal(target, found, True, said.append)
        assert healed.undone == ("Deleted the Lease of run r1",)
        assert "waiting 2 s at most to see whether run r1 still goes on" in said[0]
        assert LEASE not in server.objects
    finally:
        await target.close()


async def test_a_run_whose_journal_is_free_is_not_waited_for(
    server: FakeApiServer, api: Api, release: Release, tmp_path: Path
) -> None:
    await Lock(api, release).take("r1", 600)
    target = await open_kubernetes(None, None, None)
    try:
        (tmp_path / "one").mkdir()
        header = Header(run="r1", target=target.title, kind=target.kind)
        UndoJournal(tmp_path / "one" / UNDO_FILE, header).close()
        async with asyncio.timeout(5):
            await healing.heal(target, await healing.find(target, tmp_path, ""), False, print)
        assert LEASE not in server.objects
    finally:
        await target.close()


async def test_a_run_that_begins_while_others_are_healed_keeps_its_lock(
    server: FakeApiServer, api: Api, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Lock(api, release, lambda: 1.0).take("dead", 1)
    target = await open_kubernetes(None, None, None)
    try:
        found = await healing.find(target, Path("nowhere"), "")
        del server.objects[LEASE]
        await Lock(api, release).take("new", 60)
        monkeypatch.setattr(target, "refuse_living", lambda *_: asyncio.sleep(0))  # it looked an instant before
        healed = await healing.heal(target, found, True, print)
        assert healed.undone == ()
        assert server.objects[LEASE]["spec"]["holderIdentity"] == "new"
    finally:
        await target.close()


# -- Forwarded connections --------------------------------------------------------------------------------------------


@pytest.fixture
async def forwards(server: FakeApiServer, api: Api, release: Release) -> AsyncIterator[Forwards]:
    made = Forwards(api, release)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def node(server: FakeApiServer) -> AsyncIterator[list[str]]:
    """A node's API behind the port-forward; what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked.append(f"{request.method} {request.path} {len(body)}")
        if request.path == "/die":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=b"x" * ANSWER_BYTES)

    app = web.Application(client_max_size=10 * ANSWER_BYTES)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.pod_port = int(runner.addresses[0][1])
    yield asked
    await runner.cleanup()


async def test_requests_and_answers_of_any_size_pass_on_kept_and_on_parallel_connections(
    forwards: Forwards, node: list[str]
) -> None:
    url = forwards.urls["raft-0"]
    async with aiohttp.ClientSession() as session:

        async def ask(number: int) -> int:
            async with session.put(f"{url}/{number}", data=b"y" * ANSWER_BYTES) as answer:
                return len(await answer.read())

        assert await ask(0) == ANSWER_BYTES
        assert await asyncio.gather(*(ask(number) for number in range(1, 9))) == [ANSWER_BYTES] * 8
    assert sorted(node) == sorted(f"PUT /{number} {ANSWER_BYTES}" for number in range(9))


@pytest.mark.parametrize("cause", ["nobody listens in the pod", "there is no pod", "the cluster is gone"])
async def test_a_request_that_provably_never_reached_the_pod_is_answered_so_at_once(
    cause: str, server: FakeApiServer, api: Api, forwards: Forwards
) -> None:
    server.no_pod = cause == "there is no pod"
    if cause == "the cluster is gone":
        api.account.host = "http://127.0.0.1:1"
    began = time.monotonic()
    async with aiohttp.ClientSession() as session, session.put(f"{forwards.urls['raft-0']}/k", data=b"1") as answer:
        said = await answer.json()
    assert answer.status == 503
    assert said["error"] == NOT_FORWARDED
    assert said["message"].startswith("No byte reached pod raft-0: ")
    assert time.monotonic() - began < 1.0


async def test_a_node_that_dies_over_a_request_breaks_the_connection_and_nothing_is_claimed(
    forwards: Forwards, node: list[str]
) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            async with session.post(f"{forwards.urls['raft-0']}/die", data=b"1") as answer:
                await answer.read()
    assert node == ["POST /die 1"]


async def test_an_error_after_bytes_were_handed_over_claims_nothing_either(
    server: FakeApiServer, forwards: Forwards
) -> None:
    server.resets = True
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            async with session.post(f"{forwards.urls['raft-0']}/k", data=b"1") as answer:
                await answer.read()


async def test_the_address_stays_when_the_pod_is_made_again(
    server: FakeApiServer, forwards: Forwards, node: list[str]
) -> None:
    url, port = forwards.urls["raft-0"], server.pod_port
    async with aiohttp.ClientSession() as session:
        for server.pod_port, status in ((port, 200), (None, 503), (port, 200)):
            async with session.get(f"{url}/x", headers={"Connection": "close"}) as answer:
                assert answer.status == status


async def test_closing_ends_connections_that_are_open(api: Api, release: Release, node: list[str]) -> None:
    made = Forwards(api, release)
    await made.start()
    host, port = made.urls["raft-0"].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await made.close()
    await asyncio.wait_for(reader.read(), 2.0)
    writer.close()
    await writer.wait_closed()
    with pytest.raises(OSError):
        await asyncio.open_connection(host, int(port))


async def test_a_client_that_says_nothing_and_leaves_is_no_error(forwards: Forwards) -> None:
    host, port = forwards.urls["raft-0"].removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()


async def test_what_cannot_be_undone_is_an_error_and_not_silence(server: FakeApiServer) -> None:
    target = await open_kubernetes(None, None, None)
    try:
        with pytest.raises(ChaosError, match="does not know how to undo 'sorcery'"):
            await target.undo(UndoStep("sorcery", {}))
        step = UndoStep("delete-policy", {"name": "raft-chaos-r1-g0", "run": "r1"})
        assert await target.undo(step) == "NetworkPolicy raft-chaos-r1-g0 was gone already."
    finally:
        await target.close()


@pytest.mark.parametrize(
    ("no_proxy", "named", "proxy"),
    [
        ("", False, PROXY),
        ("127.0.0.0/8,10.0.0.0/8", False, None),
        (".example.org", False, PROXY),
        ("127.0.0.0/8", True, "http://other:3128"),
    ],
    ids=["none", "excepted", "others are", "the kubeconfig's own"],
)
def test_no_proxy_counts_for_the_environments_proxy_alone(
    no_proxy: str, named: bool, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with kubectl, which reaches an API server of this machine whatever proxy there is for others."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    configuration = Configuration(host="http://127.0.0.1:6443")
    configuration.proxy = "http://other:3128" if named else PROXY
    configuration.no_proxy = no_proxy
    assert Account(configuration, "here", "home").proxy == proxy
