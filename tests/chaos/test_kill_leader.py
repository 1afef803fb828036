"""Whom a fault hits, and when a kill is over, by what nodes and places say."""

from collections.abc import Mapping

import msgspec
import pytest

from chaos import links
from chaos.clock import Clock
from chaos.errors import NotEffective, Refused
from chaos.faults import aim, kill_leader
from chaos.faults.kill_leader import KillLeader
from chaos.model import FaultSpan, Place, View
from tests.chaos.doubles import scene_of
from tests.chaos.situations import healthy, view

NODES = ("n1", "n2", "n3")
FIVE = (*NODES, "n4", "n5")


class Cluster:
    """Asked itself it says `now`, its samples are older. `places`: where its nodes run."""

    kind, title, nodes = "kubernetes", "release raft", NODES

    def __init__(self, now: Mapping[str, View], sampled: Mapping[str, View] | None = None) -> None:
        self.now, self.sampled = dict(now), dict(sampled or now)
        self.clock, self.killed = Clock(), list[str]()
        self.refuses: Exception | None = None
        self.at = {name: Place(name=name, where="w", instance=f"{name}/0", ready=True) for name in NODES}

    async def places(self) -> Mapping[str, Place]:
        return dict(self.at)

    def latest(self) -> Mapping[str, View]:
        return {name: msgspec.structs.replace(one, answered_us=10**12) for name, one in self.sampled.items()}

    async def kill(self, node: str, mode: str, _: object) -> str:
        if self.refuses:
            raise self.refuses
        self.killed.append(node)
        return f"Ended {node} ({mode})."


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aim, "AIM_SECONDS", 0.3)
    monkeypatch.setattr(kill_leader, "BACK_OFF_SECONDS", 0.3)


async def test_whoever_leads_in_the_instant_of_the_act_is_hit_and_not_who_was_sampled() -> None:
    cluster = Cluster(healthy(3, leader="n2").views, sampled=healthy(3, leader="n1").views)
    fault = KillLeader("sigkill")
    await fault.inject(scene_of(cluster))
    assert cluster.killed == ["n2"]
    assert fault.span.acted_on == ("n2", 5)


async def test_a_voter_that_fell_since_the_guards_looked_stops_the_fault() -> None:
    cluster = Cluster({name: one for name, one in healthy(3).views.items() if name != "n3"}, healthy(3).views)
    fault = KillLeader("sigkill")
    with pytest.raises(Refused, match="not healthy any more: the voter n3 does not answer; nothing was done"):
        await fault.inject(scene_of(cluster))
    assert (cluster.killed, fault.span.injected_us) == ([], None)


async def test_where_nobody_leads_there_is_nobody_to_hit() -> None:
    followers = {name: msgspec.structs.replace(one, role="follower") for name, one in healthy(3).views.items()}
    with pytest.raises(NotEffective, match="Nobody kept the lead"):
        await KillLeader("sigkill").inject(scene_of(Cluster(followers, healthy(3).views)))


async def test_a_kill_that_was_refused_is_none() -> None:
    cluster, fault = Cluster(healthy(3).views), KillLeader("delete")
    cluster.refuses = Refused("Pod n1 is being deleted already.")
    with pytest.raises(Refused):
        await fault.inject(scene_of(cluster))
    assert fault.span.injected_us is None


@pytest.mark.parametrize(("leaving", "healed"), [(True, False), (False, True)])
async def test_a_pod_that_was_told_to_leave_is_not_back_because_it_still_answers(leaving: bool, healed: bool) -> None:
    """The run was interrupted before the pod was seen to be gone."""
    cluster, fault = Cluster(healthy(3).views), KillLeader("delete")
    scene = scene_of(cluster)
    await fault.inject(scene)
    cluster.at["n1"] = msgspec.structs.replace(cluster.at["n1"], leaving=leaving)
    if healed:
        await fault.prove_healed(scene)
    else:
        with pytest.raises(Exception, match="n1 did not come back"):
            await fault.prove_healed(scene)
        cluster.now["n1"] = msgspec.structs.replace(cluster.now["n1"], boot="another")
        await fault.prove_healed(scene)
    assert fault.span.healed_us is not None


async def test_inside_a_cut_its_victim_is_neither_aimed_at_nor_missed() -> None:
    """n1 was cut off and still takes itself for the leader; the others follow n2 in a later term."""
    others = ("n2", "n3", "n4", "n5")
    after = {name: view(name, "leader" if name == "n2" else "follower", 6, "n2") for name in others}
    cluster = Cluster({**after, "n1": view("n1", "leader", 5, "n1")})
    cluster.nodes = ("n1", *others)  # type: ignore[assignment]
    cluster.at = {name: Place(name=name, where="w", instance=f"{name}/0", ready=True) for name in cluster.nodes}
    cut = FaultSpan(kind="partition", title="cut", effect="cut", groups=(("n1",), others), injected_us=1)
    fault = KillLeader("sigkill")
    await fault.inject(scene_of(cluster, spans=(cut,)))
    assert (cluster.killed, fault.span.acted_on) == (["n2"], ("n2", 6))
    cut.healed_us = 2
    with pytest.raises(Refused, match=r"n1 follows n1 \(term 5\), not n2 \(term 6\)"):
        await KillLeader("sigkill").inject(scene_of(cluster, spans=(cut,)))
    alone = {name: view(name, "leader" if name == "n1" else "follower", 5, "n1") for name in cluster.nodes}
    cut.healed_us, cluster.now = None, dict(alone)
    with pytest.raises(NotEffective, match="Nobody kept the lead"):
        await KillLeader("sigkill").inject(scene_of(cluster, spans=(cut,)))


def cluster_of_five(leader: str) -> Cluster:
    cluster = Cluster(healthy(5, leader=leader).views)
    cluster.nodes = FIVE  # type: ignore[assignment]
    cluster.at = {name: Place(name=name, where="w", instance=f"{name}/0", ready=True) for name in FIVE}
    return cluster


async def test_who_leads_by_now_is_not_killed_where_the_faults_that_are_on_would_leave_no_majority() -> None:
    """The guards asked before the outer fault: n1 led then, and now n3 does, the bridge of two halves."""
    halves = links.between((("n1", "n2"), ("n4", "n5")))
    bridge = FaultSpan(kind="partition", title="cut", effect="cut", links=halves, nodes=FIVE, injected_us=1)
    cluster, fault = cluster_of_five("n3"), KillLeader("sigkill")
    with pytest.raises(Refused, match=r"n3 leading, .* at most 2 of 5 voters could still talk to each other"):
        await fault.inject(scene_of(cluster, spans=(bridge, fault.span)))
    assert (cluster.killed, fault.span.injected_us) == ([], None)
    await KillLeader("sigkill").inject(scene_of(cluster, spans=(bridge,), allow_quorum_loss=True))
    assert cluster.killed == ["n3"]
    at_its_end = cluster_of_five("n1")
    await KillLeader("sigkill").inject(scene_of(at_its_end, spans=(bridge,)))
    assert at_its_end.killed == ["n1"]


async def test_who_stands_still_already_counts_as_well() -> None:
    still = [FaultSpan(kind="pause", title="p", effect="paused", nodes=(name,), injected_us=1) for name in ("n4", "n5")]
    cluster = cluster_of_five("n1")
    with pytest.raises(Refused, match="at most 2 of 5 voters"):
        await KillLeader("sigkill").inject(scene_of(cluster, spans=still))
    still[0].healed_us = 2
    await KillLeader("sigkill").inject(scene_of(cluster, spans=still))
    assert cluster.killed == ["n1"]


async def test_a_leader_that_is_asked_to_leave_shows_a_hand_over_and_the_run_says_so() -> None:
    for mode, said in (("delete", True), ("sigkill", False)):
        fault = KillLeader(mode)  # type: ignore[arg-type]
        cluster = Cluster(healthy(3).views)
        await fault.inject(scene_of(cluster))
        assert any("--mode sigkill" in fact and "hand-over" in fact for fact in fault.span.facts) is said
