"""The Kubernetes target of raft-chaos on a real cluster, with the account that the chart makes for it and no more."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chaos.errors import Refused
from chaos.targets.kubernetes.target import KubernetesTarget, open_kubernetes
from chaos.targets.port import Cut, Pair, UndoStep
from tests.chaos.doubles import Notes
from tests.kubernetes.chaos_account import RBAC, audit_end, audited
from tests.kubernetes.figures import figure
from tests.kubernetes.policies import enforced, policies
from tests.kubernetes.release import Release

# kubectl and helm are called in place: nothing else goes on meanwhile that would have to

INSTALLED_WITH = (*RBAC, "--set", "chaos.rbac.probes=true")
ISOLATED = Cut.between((("raft-0",), ("raft-1", "raft-2")))
ENFORCED_SECONDS_MAX = 15.0
BACK_SECONDS_MAX = 60.0
HELD_SECONDS = 30.0
GUARDS = {False: "networkPolicy.enabled=false", True: "networkPolicy.enabled=true"}
IN_ALL = {
    "test_a_partition_blocks_exactly_its_pairs_and_leaves_no_trace": {
        *("keep-chart policies off", "cut-chart policies on")
    },
    "test_a_foreign_policy_that_would_void_it_is_named_and_a_harmless_one_is_not": {"chart policies on"},
}


@pytest.fixture
async def target(account: Path) -> AsyncIterator[KubernetesTarget]:
    with enforced():
        opened = await open_as(account)
        try:
            await until("all nodes follow one leader", lambda: healthy(opened))
            yield opened
        finally:
            for step in await opened.leftovers():  # of a test that failed
                await opened.undo(step)
            await opened.close()


@pytest.fixture
async def guarded(raft: Release, request: pytest.FixtureRequest) -> None:
    """The chart's own policies on or off."""
    upgrade = ("--reuse-values", "--set", GUARDS[request.param])
    raft.upgrade(*upgrade)


async def dialled(target: KubernetesTarget, pairs: Sequence[Pair], expected: bool, within_s: float) -> float:
    """Dial until all of them do as expected; seconds that it took."""
    began = time.monotonic()
    while True:
        seen = await target.network.dial(pairs)
        if all(reached is expected for reached in seen.values()):
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, seen


async def status(session: aiohttp.ClientSession, target: KubernetesTarget, node: str) -> tuple[int, dict[str, Any]]:
    async with session.get(f"{target.url(node)}/status") as answer:
        return answer.status, dict(await answer.json())


async def open_as(account: Path) -> KubernetesTarget:
    """kubectl and helm go on as whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(account))
        return await open_kubernetes(None, None, None)


async def healthy(target: KubernetesTarget) -> bool:
    """Asked through the target: with the chart's policies on there is no other way in."""
    async with aiohttp.ClientSession() as session:
        try:
            asked = [await status(session, target, node) for node in target.nodes]
        except aiohttp.ClientConnectionError:
            return False
    leaders = {said.get("leader") for _, said in asked}
    return all(code == 200 for code, _ in asked) and len(leaders) == 1 and leaders != {None}


async def until(what: str, holds: Callable[[], Awaitable[bool]], within_s: float = BACK_SECONDS_MAX) -> float:
    began = time.monotonic()
    while not await holds():
        assert time.monotonic() - began < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began


def policy_specs(raft: Release) -> dict[str, Any]:
    """What every policy says, and who owns which of its fields."""
    items = raft.namespace.get("networkpolicies", "--show-managed-fields")["items"]
    return {
        one["metadata"]["name"]: (
            one["spec"], one["metadata"].get("labels"), one["metadata"].get("annotations"),
            one["metadata"].get("managedFields"),
        )
        for one in items
    }  # fmt: skip


async def test_every_node_answers_through_its_own_address(target: KubernetesTarget) -> None:
    assert target.title == f"release raft in namespace {target.namespace} (context least)"
    async with aiohttp.ClientSession() as session:
        for node in target.nodes:
            code, said = await status(session, target, node)
            assert (code, said["name"]) == (200, node)
    places = await target.places()
    assert all(place.ready and place.instance and place.where for place in places.values())


@pytest.mark.parametrize("guarded", [False, True], indirect=True, ids=["chart policies off", "chart policies on"])
@pytest.mark.parametrize("behaviour", ["keep", "cut"])
async def test_a_partition_blocks_exactly_its_pairs_and_leaves_no_trace(
    behaviour: str, guarded: None, raft: Release, target: KubernetesTarget
) -> None:
    before, notes = policy_specs(raft), Notes()
    with policies(behaviour):
        assert all((await target.network.dial(ISOLATED.blocked + ISOLATED.allowed)).values())
        assert list(await target.network.objections(ISOLATED)) == []
        await target.network.install(ISOLATED, "r1", HELD_SECONDS, notes)
        took = await dialled(target, ISOLATED.blocked, False, ENFORCED_SECONDS_MAX)
        figure(f"partition by policies ({behaviour}): blocked, by fresh dials, after", took, "s")
        assert all((await target.network.dial(ISOLATED.allowed)).values())
        async with aiohttp.ClientSession() as session:
            for node in target.nodes:  # the way in is not cut
                assert (await status(session, target, node))[0] == 200
        assert len(notes.open) == len(await target.network.leftovers()) > 0
        await target.network.remove(ISOLATED, "r1", notes)
        took = await dialled(target, ISOLATED.blocked, True, ENFORCED_SECONDS_MAX)
        figure(f"partition by policies ({behaviour}): open again, by fresh dials, after", took, "s")
    assert notes.open == []
    assert policy_specs(raft) == before


@pytest.mark.longest
async def test_where_policies_are_ignored_the_dials_say_so(target: KubernetesTarget) -> None:
    notes = Notes()
    with policies("ignore"):
        await target.network.install(ISOLATED, "r1", HELD_SECONDS, notes)
        try:
            await asyncio.sleep(2.0)
            assert all((await target.network.dial(ISOLATED.blocked)).values())
        finally:
            await target.network.remove(ISOLATED, "r1", notes)


@pytest.mark.parametrize("guarded", [False, True], indirect=True, ids=["chart policies off", "chart policies on"])
async def test_a_foreign_policy_that_would_void_it_is_named_and_a_harmless_one_is_not(
    guarded: None, raft: Release, target: KubernetesTarget
) -> None:
    def foreign(name: str, port: int, *egress: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": target.namespace},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Ingress", *(["Egress"] if egress else [])],
                "ingress": [{"ports": [{"port": port}]}],
                "egress": list(egress),
            },
        }

    raft.namespace.apply(foreign("team-clients", 8001), foreign("team-peers", 9001, {}))
    try:
        [objection] = await target.network.objections(ISOLATED)
        assert "NetworkPolicy team-peers" in objection
        assert "raft-0 to raft-1" in objection
        assert any("team-peers (foreign)" in line for line in await target.policies())
        raft.namespace.kubectl("delete", "networkpolicy", "team-peers")
        assert list(await target.network.objections(ISOLATED)) == []
    finally:
        raft.namespace.kubectl("delete", "networkpolicy", "team-clients", "team-peers", "--ignore-not-found")


async def test_pods_made_again_during_a_partition_are_cut_off_as_before(
    raft: Release, target: KubernetesTarget
) -> None:
    notes = Notes()
    await target.network.install(ISOLATED, "r1", HELD_SECONDS, notes)
    await dialled(target, ISOLATED.blocked, False, ENFORCED_SECONDS_MAX)
    for node in ("raft-0", "raft-1"):
        old = (await target.places())[node].instance
        assert f"pod {node}" in await target.kill(node, "delete", notes)

        async def running_again(node: str = node, old: str = old) -> bool:
            place = (await target.places())[node]
            return place.instance not in ("", old) and not place.leaving

        await until(f"{node} is another pod", running_again)
    await dialled(target, ISOLATED.allowed, True, BACK_SECONDS_MAX)
    assert not any((await target.network.dial(ISOLATED.blocked)).values())
    await target.network.remove(ISOLATED, "r1", notes)
    await dialled(target, ISOLATED.blocked, True, ENFORCED_SECONDS_MAX)


async def test_a_node_is_killed_in_place_and_what_was_not_handed_over_is_told_apart(target: KubernetesTarget) -> None:
    before, seen = (await target.places())["raft-2"], []
    async with aiohttp.ClientSession() as session:
        said = await target.kill("raft-2", "sigkill", Notes())
        assert said.startswith("Sent SIGKILL to the node's process in pod raft-2")

        async def back() -> bool:
            try:
                code, body = await status(session, target, "raft-2")
            except aiohttp.ClientConnectionError:
                return False
            seen.append((code, body.get("error")))
            return code == 200 and seen[0][0] == 503

        await until("raft-2 answers again", back)
    after = (await target.places())["raft-2"]
    assert (503, "not_forwarded") in seen
    assert after.restarts == before.restarts + 1
    assert after.instance.partition("/")[0] == before.instance.partition("/")[0]


async def test_a_second_run_is_refused_and_leftovers_are_found_without_a_journal(
    target: KubernetesTarget, raft: Release, account: Path
) -> None:
    before = policy_specs(raft)
    await target.lock("r1", 60)
    await target.network.install(ISOLATED, "r1", HELD_SECONDS, Notes())
    other = await open_as(account)
    try:
        with pytest.raises(Refused, match="Run r1 works on release raft"):
            await other.lock("r2", 60)
        assert any("run r1 left behind" in one for one in await other.network.objections(ISOLATED))
        steps = await other.leftovers()
        assert steps[-1] == UndoStep("delete-lease", {"name": "raft-chaos-raft", "run": "r1"})
        for step in steps:
            await other.undo(step)
            await other.undo(step)  # twice is harmless
        assert await other.leftovers() == []
        await other.lock("r2", 60)
        await other.unlock()
    finally:
        await other.close()
    await dialled(target, ISOLATED.blocked, True, ENFORCED_SECONDS_MAX)
    assert policy_specs(raft) == before


@pytest.mark.parametrize(
    ("behaviour", "level", "sentence"),
    [("keep", "ok", "outlived"), ("cut", "ok", "was cut too"), ("ignore", "error", "Policies do nothing here")],
)
async def test_the_doctor_tries_policies_on_pods_of_its_own_and_leaves_nothing(
    behaviour: str, level: str, sentence: str, target: KubernetesTarget, raft: Release
) -> None:
    with policies(behaviour):
        found = await target.doctor()
    by_subject = {one.about: one for one in found}
    assert by_subject["policies"].level == level, by_subject["policies"]
    assert sentence in by_subject["policies"].sentence
    assert by_subject["PID 1"].level == "ok"
    assert [one for one in found if one.about == "permissions" and one.level == "error"] == []

    async def nothing_left() -> bool:
        left = raft.namespace.get("pods,networkpolicies", "--selector=app.kubernetes.io/managed-by=raft-chaos")
        return not left["items"]

    await until("the throw-away pods are gone", nothing_left, 20.0)


async def test_planning_changes_nothing(target: KubernetesTarget, raft: Release) -> None:
    since = audit_end()
    assert list(await target.network.objections(ISOLATED)) == []
    planned = target.network.plan(ISOLATED, "r1", HELD_SECONDS)
    assert target.kill_plan("raft-0", "delete").startswith("DELETE /api/v1/namespaces/")
    assert "kill -KILL" in target.kill_plan("raft-0", "sigkill")
    await target.places()
    await target.leftovers()
    assert audited_changes(since, raft) == []

    notes = Notes()
    await target.network.install(ISOLATED, "r1", HELD_SECONDS, notes)
    await target.network.remove(ISOLATED, "r1", notes)
    made = [event for event in audited_changes(since, raft) if event["verb"] == "create"]
    promised = [json.loads(line.split(" ", 2)[2]) for line in planned if line.startswith("POST ")]
    assert [one["requestObject"]["spec"] for one in made] == [one["spec"] for one in promised]


def audited_changes(since: int, raft: Release) -> list[Any]:
    asked = audited(since, raft.namespace, f"{raft.fullname}-chaos")
    return [event for event in asked if event["verb"] not in ("get", "list", "watch")]
