"""A cut is proven by what nodes at its ends say: one that runs and says nothing proves nothing."""

import asyncio
import random
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from chaos.clock import Clock
from chaos.errors import NotEffective, Refused
from chaos.faults import proof, proven_cut
from chaos.faults.groups import Isolate
from chaos.faults.partition import Partition
from chaos.faults.proven_cut import ProvenCut
from chaos.model import FaultSpan, Place, View
from chaos.observe.nodeapi import CommandAnswer
from chaos.situation import situate
from chaos.targets.port import Cut, Pair
from tests.chaos.doubles import scene_of
from tests.chaos.situations import view

NODES = ("n1", "n2", "n3")
CUT = Cut.between((("n2", "n3"), ("n1",)))


class Cluster:
    """Its network cuts; `answering` nodes tell of a silence of minutes over the cut, `running` ones have a process."""

    def __init__(self, answering: Sequence[str], running: Sequence[str] = NODES) -> None:
        self.clock, self._answering, self._running = Clock(), answering, running
        self.nodes, self.network, self.system = NODES, self, self

    def url(self, node: str) -> str:
        return node

    async def reset_links(self, *_: object) -> CommandAnswer:
        return CommandAnswer(False, "unreachable", "gone")

    async def places(self) -> Mapping[str, Place]:
        return {n: Place(name=n, where="", instance="1" if n in self._running else "", ready=True) for n in NODES}

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        return {pair: pair in CUT.allowed for pair in pairs}

    @property
    def now(self) -> dict[str, View]:
        return self.latest()

    def latest(self) -> dict[str, View]:
        side = {"n2": {"n1": 1e5, "n3": 1.0}, "n3": {"n1": 1e5, "n2": 1.0}, "n1": {"n2": 1e5, "n3": 1e5}}
        now_us = self.clock.now_us()
        return {
            name: msgspec.structs.replace(
                view(name, "leader" if name == "n2" else "follower", leader="n2", voters=3, ages_ms=side[name]),
                asked_us=now_us,
                answered_us=now_us,
            )
            for name in self._answering
        }


async def test_a_cluster_with_long_election_timeouts_is_given_the_silence_that_it_takes_to_prove_a_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(NODES)
    real = cluster.latest
    slow = {"election_timeout_ms": 500.0}
    monkeypatch.setattr(
        cluster, "latest", lambda: {n: msgspec.structs.replace(one, **slow) for n, one in real().items()}
    )
    await proven(cluster, monkeypatch, seconds=0.3)


async def test_the_last_word_is_what_every_end_says_now_and_not_old_samples() -> None:
    cluster = Cluster(NODES)
    scene = scene_of(cluster)
    fault = Partition(Isolate("n1"), random.Random(1), 0.01)
    fault._before, fault._proven = situate(NODES, cluster.latest()), ProvenCut(scene, CUT, mend)
    fault._proven._quiet_since_us = scene.clock.now_us() - 10**9
    scene.fresh = dict  # type: ignore[method-assign]
    heard: list[str] = []

    async def repaired(_: object, why: str) -> None:
        heard.append(why)

    fault._repair = repaired  # type: ignore[method-assign,assignment]
    with pytest.raises(NotEffective, match="leaked again and again at its end"):
        await fault.hold(scene)
    assert "something came over the cut (n1 heard n2, n1 heard n3, n2 heard n1, n3 heard n1)" in heard[0]


async def mend() -> None: ...


async def proven(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, seconds: float = 1.0) -> None:
    monkeypatch.setattr(proven_cut, "PROVE_SECONDS", seconds)
    monkeypatch.setattr(proof, "QUIET_SECONDS", 0.1)
    one = ProvenCut(scene_of(cluster), CUT, mend)
    one.remember(Cluster(NODES).latest())
    await one.prove()


async def test_a_silent_cut_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    await proven(Cluster(NODES), monkeypatch)


@pytest.mark.parametrize("answering", [("n2", "n3"), ()])
async def test_a_node_that_runs_and_does_not_answer_is_not_taken_for_quiet(
    monkeypatch: pytest.MonkeyPatch, answering: Sequence[str]
) -> None:
    with pytest.raises(NotEffective, match=r"n1.* runs and does not answer, so what it hears cannot be known"):
        await proven(Cluster(answering), monkeypatch)


async def test_what_came_over_the_cut_after_a_reset_is_a_leak_also_where_the_last_look_came_too_early_to_hear_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = iter([[("n1", "n2")]])
    monkeypatch.setattr(proof, "heard_over", lambda *_: next(heard, []))
    monkeypatch.setattr(proof, "is_quiet", lambda *_: False)
    with pytest.raises(NotEffective, match="The partition leaks: n1 still hears n2 although new"):
        await proven(Cluster(NODES), monkeypatch, seconds=0.3)


async def test_a_node_that_does_not_run_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    await proven(Cluster(("n2", "n3"), running=("n2", "n3")), monkeypatch)


@pytest.mark.parametrize("repairs", [0, 1])
async def test_what_a_node_learned_through_a_leak_is_not_held_against_what_was_foretold(repairs: int) -> None:
    cluster = Cluster(NODES)
    scene = scene_of(cluster)
    fault = Partition(Isolate("n1"), random.Random(1), 0.01)
    before = {name: msgspec.structs.replace(one, term=4) for name, one in cluster.latest().items()}
    fault._before, fault._proven = situate(NODES, before), ProvenCut(scene, CUT, mend)
    fault._proven._quiet_since_us, fault._proven.repairs = scene.clock.now_us(), repairs
    await fault.hold(scene)
    assert any(
        "not as predicted: n1 raised its term from 4 to 5 while cut off" in fact for fact in fault.span.facts
    ) == (not repairs)


@pytest.mark.parametrize("step", ["prove", "hold"])
async def test_a_node_that_is_dead_while_it_should_be_cut_off_leaves_it_open_what_was_tested(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(proven_cut, "PROVE_SECONDS", 0.3)
    whole, dead = Cluster(NODES), Cluster(("n2", "n3"), running=("n2", "n3"))
    scene = scene_of(dead)
    fault = Partition(Isolate("n1"), random.Random(1), 0.01)
    fault._before, fault._proven = situate(NODES, whole.latest()), ProvenCut(scene, CUT, mend)
    fault._proven._quiet_since_us = scene.clock.now_us()

    async def proves() -> None: ...

    monkeypatch.setattr(fault._proven, "prove", proves)
    with pytest.raises(NotEffective, match="n1 did not answer while it should be cut off and nothing else"):
        await (fault.prove(scene) if step == "prove" else fault.hold(scene))
    assert fault.span.effective_us is None


async def test_a_cut_is_not_made_where_what_is_on_already_would_leave_no_majority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connects(pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        return dict.fromkeys(pairs, True)

    cluster = Cluster(NODES)
    monkeypatch.setattr(cluster, "dial", connects)
    still = FaultSpan(kind="pause", title="p", effect="paused", nodes=("n3",), injected_us=1)
    fault = Partition(Isolate("leader"), random.Random(1), 0.01)
    with pytest.raises(Refused, match="at most 1 of 3 voters could still talk to each other, and 2 are needed"):
        await fault.inject(scene_of(cluster, spans=(still,)))
    assert fault.span.injected_us is None


async def test_where_nothing_is_cut_one_slow_handshake_a_round_is_not_held_against_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, rounds = Cluster(NODES), [0]
    pairs = [*CUT.allowed, *CUT.blocked]

    async def one_is_slow(asked: Sequence[Pair]) -> Mapping[Pair, bool]:
        rounds[0] += 1
        return {pair: pair != pairs[rounds[0] % len(pairs)] for pair in asked}

    monkeypatch.setattr(cluster, "dial", one_is_slow)
    assert await proof.until_all_connect(scene_of(cluster), CUT.pairs, 5.0) == []
    assert rounds[0] == 2


@pytest.mark.parametrize("when", ["at the beginning", "at the end"])
async def test_while_a_cut_is_on_one_slow_handshake_of_others_is_not_held_against_it(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    cluster, slow = Cluster(NODES), list(CUT.allowed[:1])
    whole = cluster.dial

    async def one_is_slow_once(asked: Sequence[Pair]) -> Mapping[Pair, bool]:
        late = slow.pop() if slow else None
        return {pair: connects and pair != late for pair, connects in (await whole(asked)).items()}

    monkeypatch.setattr(cluster, "dial", one_is_slow_once)
    scene = scene_of(cluster)
    if when == "at the beginning":
        assert await proof.until_dials_agree(scene, CUT, 5.0) == ([], [])
    else:
        assert await ProvenCut(scene, CUT, mend).dial_again() == ""
    assert slow == []


async def test_while_a_cut_is_on_a_way_of_others_that_carries_no_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(asked: Sequence[Pair]) -> Mapping[Pair, bool]:
        return dict.fromkeys(asked, False)

    cluster = Cluster(NODES)
    monkeypatch.setattr(cluster, "dial", nothing)
    monkeypatch.setattr(proven_cut, "AGAIN_SECONDS", 0.1)
    said = await ProvenCut(scene_of(cluster), CUT, mend).dial_again()
    assert said == "n2 to n3, n3 to n2 cannot connect any more"


async def test_a_way_that_never_carries_is_named_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(NODES)  # its network cuts
    monkeypatch.setattr(proof, "DIAL_EVERY_SECONDS", 0.01)
    assert sorted(await proof.until_all_connect(scene_of(cluster), CUT.pairs, 0.1)) == sorted(CUT.blocked)


async def test_a_node_that_answers_again_in_time_is_not_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proven_cut, "PROVE_SECONDS", 20.0)
    cluster = Cluster(("n2", "n3"))
    asyncio.get_running_loop().call_later(0.2, setattr, cluster, "_answering", NODES)
    await ProvenCut(scene_of(cluster), CUT, mend).every_end()


async def test_another_process_under_a_node_s_name_is_a_leak_once() -> None:
    cluster = Cluster(NODES)
    one = ProvenCut(scene_of(cluster), CUT, mend)
    one.remember(cluster.latest())
    one._quiet_since_us = cluster.clock.now_us()
    views = cluster.latest()
    views["n1"] = msgspec.structs.replace(views["n1"], boot="another")
    assert one.leak(views) == "n1 is another process than before"
    assert one.leak(views) == ""


async def test_a_cut_that_leaked_counts_only_once_it_is_proven_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(NODES)
    scene = scene_of(cluster)
    fault = Partition(Isolate("n1"), random.Random(1), 0.01)
    fault._proven = ProvenCut(scene, CUT, mend)
    fault.span.effective_us = 5

    async def fails(_: str) -> None:
        raise NotEffective("it leaks")

    monkeypatch.setattr(fault._proven, "repair", fails)
    with pytest.raises(NotEffective):
        await fault._repair(scene, "something came over the cut")
    assert fault.span.effective_us is None
