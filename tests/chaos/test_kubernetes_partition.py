"""Partitions made and taken back against an API server where others work at the same time."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chaos import healing, journal, links
from chaos.errors import ChaosError
from chaos.evidence.folder import UNDO_FILE
from chaos.journal import Header, UndoJournal
from chaos.targets.kubernetes.narrowing import ORIGINAL, RUN_LABEL
from chaos.targets.kubernetes.target import KubernetesTarget, open_kubernetes
from chaos.targets.port import Cut, UndoStep
from tests.chaos.doubles import Notes
from tests.chaos.fake_apiserver import FakeApiServer, fake_apiserver, merge_patched, status
from tests.chaos.test_kubernetes_shape import LABELS, chart
from tests.chaos.test_kubernetes_way_in import stateful_set

POLICIES = "/apis/networking.k8s.io/v1/namespaces/home/networkpolicies"
PEERS = f"{POLICIES}/raft-peers"
OURS = f"{POLICIES}/raft-chaos-r1-g0"
ISOLATED = Cut.between((("raft-0",), ("raft-1", "raft-2")))
LEFT_OUT = {"key": "statefulset.kubernetes.io/pod-name", "operator": "NotIn", "values": ["raft-0"]}
HELM = {"manager": "helm", "time": "1"}
NEWER = {**LABELS, "tier": "new"}


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    async with fake_apiserver() as fake:
        fake.put("/apis/apps/v1/namespaces/home/statefulsets/raft", stateful_set())
        fake.put("/api/v1/namespaces/home", {"metadata": {"name": "home", "labels": {}}})
        for policy in chart():
            fake.put(f"{POLICIES}/{policy['metadata']['name']}", policy)
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


@pytest.fixture
async def target(server: FakeApiServer) -> AsyncIterator[KubernetesTarget]:
    opened = await open_kubernetes(None, None, None)
    yield opened
    await opened.close()


def selector(server: FakeApiServer) -> Any:
    return server.objects[PEERS]["spec"]["podSelector"]


def upgraded(server: FakeApiServer, selector: dict[str, Any]) -> None:
    """As `helm upgrade` does it: what it does not know of stays."""
    server.put(PEERS, merge_patched(server.objects[PEERS], {"spec": {"podSelector": selector}}))


def unmarked(server: FakeApiServer) -> bool:
    metadata = server.objects[PEERS]["metadata"]
    return RUN_LABEL not in metadata["labels"] and not metadata.get("annotations")


async def healed(target: KubernetesTarget) -> tuple[str, ...]:
    """`heal --all` without any journal; what it says that it took back."""
    found = await healing.heal(target, await healing.find(target, Path("nowhere"), ""), True, print)
    assert (found.failed, found.left) == ((), ())
    return found.undone


async def test_a_partition_is_written_down_and_leaves_no_trace(server: FakeApiServer, target: KubernetesTarget) -> None:
    before, notes = selector(server), Notes()
    await target.network.install(ISOLATED, "r1", 30, notes)
    assert selector(server) == {**before, "matchExpressions": [LEFT_OUT]}
    assert [step.do for step in notes.open] == ["delete-policy", "restore-policy"]
    assert await target.network.remove(ISOLATED, "r1", notes) == []
    assert notes.open == []
    assert selector(server) == before
    assert OURS not in server.objects
    assert unmarked(server)


NODES = ("raft-0", "raft-1", "raft-2")
BRIDGE = Cut(NODES, links.between((("raft-0",), ("raft-1",))), "raft-2 talks to both")
ONE_WAY = Cut(NODES, links.one_way(("raft-0",), ("raft-1",)), "one way")


@pytest.mark.parametrize(("cut", "policies", "types"), [(BRIDGE, 2, ["Ingress", "Egress"]), (ONE_WAY, 1, ["Egress"])])
async def test_other_cuts_than_between_groups_leave_no_trace_either(
    server: FakeApiServer, target: KubernetesTarget, cut: Cut, policies: int, types: list[str]
) -> None:
    """Who only must not dial is not closed to those who dial it, where nothing closed it before."""
    for path in [path for path in server.objects if path.startswith(POLICIES)]:
        del server.objects[path]
    before, notes = dict(server.objects), Notes()
    assert await target.network.objections(cut) == []
    await target.network.install(cut, "r1", 30, notes)
    made = [one for path, one in server.objects.items() if path.startswith(POLICIES)]
    assert [sorted(one["spec"]["policyTypes"]) for one in made] == [sorted(types)] * policies
    assert await target.network.remove(cut, "r1", notes) == []
    assert (notes.open, server.objects) == ([], before)


async def test_every_act_is_written_down_before_it_is_done_and_what_cannot_be_is_not_done(
    server: FakeApiServer, target: KubernetesTarget
) -> None:
    class Strict(Notes):
        """`takes`: so many steps."""

        def __init__(self, takes: int) -> None:
            super().__init__()
            self.takes, self.before = takes, dict(server.objects)

        def will_do(self, step: UndoStep) -> None:
            name = f"{POLICIES}/{step.arguments['name']}"
            assert server.objects.get(name) == self.before.get(name)
            if len(self.open) == self.takes:
                raise ChaosError("The undo journal cannot be written.")
            super().will_do(step)

    for takes in (0, 1):
        with pytest.raises(ChaosError, match="journal cannot be written"):
            await target.network.install(ISOLATED, "r1", 30, Strict(takes))
        assert (OURS in server.objects) is bool(takes)
        assert "matchExpressions" not in selector(server)
        await target.network.remove(ISOLATED, "r1", Notes())
    await target.network.install(ISOLATED, "r1", 30, Strict(2))


@pytest.mark.parametrize("changes", range(6))
@pytest.mark.parametrize("done", [False, True], ids=["the request is lost", "its answer is lost"])
async def test_wherever_the_tool_dies_its_journal_heals(
    server: FakeApiServer, target: KubernetesTarget, tmp_path: Path, changes: int, done: bool
) -> None:
    """So many changes are made, by installing and by removing again, and the next one is the last that it tries."""
    server.objects[PEERS]["metadata"]["managedFields"] = [HELM]
    before = {path: one["spec"] for path, one in server.objects.items() if path.startswith(POLICIES)}
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    notes = UndoJournal(folder / UNDO_FILE, Header(run="r1", target=target.title, kind="kubernetes"))
    real, left = server.answer_change, [changes]

    async def dies(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        left[0] -= 1
        if left[0] >= 0 or (left[0] == -1 and done):
            answer = await real(request, body)
        return answer if left[0] >= 0 else status(500, "the tool is gone")

    server.answer_change = dies  # type: ignore[method-assign]
    with contextlib.suppress(ChaosError):
        await target.network.install(ISOLATED, "r1", 30, notes)
        await target.network.remove(ISOLATED, "r1", notes)
    notes.close()
    server.answer_change = real  # type: ignore[method-assign]
    again = await open_kubernetes(None, None, None)
    try:
        done_by = await healing.heal(again, await healing.find(again, tmp_path / "runs", ""), False, print)
    finally:
        await again.close()
    assert (done_by.failed, done_by.left) == ((), ())
    assert {path: one["spec"] for path, one in server.objects.items() if path.startswith(POLICIES)} == before
    assert unmarked(server)
    assert server.objects[PEERS]["metadata"]["managedFields"] == [HELM]
    assert journal.read(folder / UNDO_FILE).open_steps == ()


async def test_a_run_takes_back_nothing_of_another_run(server: FakeApiServer, target: KubernetesTarget) -> None:
    labels = {"app.kubernetes.io/managed-by": "raft-chaos", RUN_LABEL: "r2"}
    other = {"metadata": {"name": "raft-chaos-r2-g0", "namespace": "home", "labels": labels}, "spec": {}}
    await target.network.install(ISOLATED, "r1", 30, Notes())
    server.put(f"{POLICIES}/raft-chaos-r2-g0", other)
    await target.network.remove(ISOLATED, "r1", Notes())
    assert f"{POLICIES}/raft-chaos-r2-g0" in server.objects
    assert OURS not in server.objects


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({"matchLabels": NEWER}, {"matchLabels": NEWER}),
        (
            {"matchExpressions": [LEFT_OUT, {"key": "zone", "operator": "Exists"}]},
            {"matchLabels": LABELS, "matchExpressions": [{"key": "zone", "operator": "Exists"}]},
        ),
        ({"matchLabels": NEWER, "matchExpressions": None}, {"matchLabels": NEWER}),
    ],
    ids=["its labels", "its expressions", "all of it, as a forced replacement does"],
)
@pytest.mark.parametrize("by_heal", [True, False], ids=["heal", "the run itself"])
async def test_an_upgrade_in_mid_partition_is_left_as_it_is_but_for_what_the_run_added(
    server: FakeApiServer, target: KubernetesTarget, change: dict[str, Any], stays: dict[str, Any], by_heal: bool
) -> None:
    notes = Notes()
    await target.network.install(ISOLATED, "r1", 30, notes)
    upgraded(server, change)
    said = await healed(target) if by_heal else await target.network.remove(ISOLATED, "r1", notes)
    assert selector(server) == stays
    assert unmarked(server)
    assert OURS not in server.objects
    assert "raft-peers was changed by somebody else since run r1 narrowed it" in said[0]


async def test_who_owns_a_field_is_put_back_as_it_was_and_after_an_upgrade_only_this_tool_is_taken_out(
    server: FakeApiServer, target: KubernetesTarget
) -> None:
    newer = {"manager": "helm", "time": "2"}
    own = {"manager": "raft-chaos", "time": "3"}
    for change, fields in (({}, [HELM]), ({"matchLabels": NEWER}, [newer])):
        server.objects[PEERS]["metadata"]["managedFields"] = [HELM]
        await target.network.install(ISOLATED, "r1", 30, Notes())
        upgraded(server, change)
        server.objects[PEERS]["metadata"]["managedFields"] = [newer, own]
        await target.network.remove(ISOLATED, "r1", Notes())
        assert server.objects[PEERS]["metadata"]["managedFields"] == fields


@pytest.mark.parametrize("spoilt", [None, "{", "[1]"])
async def test_a_policy_whose_annotation_was_spoilt_is_widened_all_the_same(
    server: FakeApiServer, target: KubernetesTarget, spoilt: str | None
) -> None:
    before = selector(server)
    await target.network.install(ISOLATED, "r1", 30, Notes())
    server.put(PEERS, merge_patched(server.objects[PEERS], {"metadata": {"annotations": {ORIGINAL: spoilt}}}))
    await healed(target)
    assert selector(server) == before
    assert unmarked(server)


async def test_a_policy_that_lost_its_mark_is_widened_by_the_journal(
    server: FakeApiServer, target: KubernetesTarget
) -> None:
    before, notes = selector(server), Notes()
    await target.network.install(ISOLATED, "r1", 30, notes)
    server.put(PEERS, merge_patched(server.objects[PEERS], {"metadata": {"labels": {RUN_LABEL: None}}}))
    for step in reversed(notes.open):
        await target.undo(step)
        await target.undo(step)  # twice is harmless
    assert selector(server) == before


async def test_a_policy_that_is_gone_or_narrowed_by_a_later_run_is_let_be(
    server: FakeApiServer, target: KubernetesTarget
) -> None:
    notes = Notes()
    await target.network.install(ISOLATED, "r1", 30, notes)
    restore = notes.open[-1]
    server.put(PEERS, merge_patched(server.objects[PEERS], {"metadata": {"labels": {RUN_LABEL: "r2"}}}))
    there = selector(server)
    assert "not narrowed by run r1" in await target.undo(restore)
    assert selector(server) == there
    del server.objects[PEERS]
    assert "not narrowed by run r1" in await target.undo(restore)


def once(method: str, path: str, act: Callable[[], web.StreamResponse | None]) -> Any:
    """Before the first such request, `act` happens; what it returns is the answer."""
    left = [True]

    def before(asked: str, where: str) -> web.StreamResponse | None:
        if (asked, where) == (method, path) and left:
            left.pop()
            return act()
        return None

    return before


async def test_a_policy_that_changes_in_the_instant_of_the_act_is_read_again(
    server: FakeApiServer, target: KubernetesTarget
) -> None:
    zone = {"key": "zone", "operator": "DoesNotExist"}
    server.before = once("PATCH", PEERS, lambda: upgraded(server, {"matchExpressions": [zone]}))
    await target.network.install(ISOLATED, "r1", 30, Notes())
    assert selector(server) == {"matchLabels": LABELS, "matchExpressions": [zone, LEFT_OUT]}
    region = {"key": "region", "operator": "Exists"}
    server.before = once("PATCH", PEERS, lambda: upgraded(server, {"matchExpressions": [zone, LEFT_OUT, region]}))
    await target.network.remove(ISOLATED, "r1", Notes())
    assert selector(server) == {"matchLabels": LABELS, "matchExpressions": [zone, region]}


async def test_what_could_not_be_taken_back_is_raised_after_the_rest_was_tried_and_works_the_second_time(
    server: FakeApiServer, target: KubernetesTarget
) -> None:
    before = selector(server)
    await target.network.install(ISOLATED, "r1", 30, Notes())
    server.before = once("PATCH", PEERS, lambda: status(500, "etcdserver: leader changed"))
    with pytest.raises(ChaosError, match="leader changed"):
        await target.network.remove(ISOLATED, "r1", Notes())
    assert OURS not in server.objects
    await target.network.remove(ISOLATED, "r1", Notes())
    assert selector(server) == before
