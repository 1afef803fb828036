"""Linearizable reads without writing (ReadIndex, thesis 6.4), on the leader and on followers. No leases, ever.

A read is safe at index i once a quorum has confirmed, after the read arrived, that no newer leader exists, and the
state machine holds i. A round of heartbeats confirms everything that joined before it was sent; the round's context
is (node, boot, number), and only acknowledgements that echo it count.

Why it exists: a paused or cut-off leader must never answer with old values (pitfalls 20 and 22). It must not know
what is read.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import takewhile

from node.raft.effects import ReadReady, Refused
from node.raft.errors import NotBorn, NotLeader
from node.raft.leadership import Leadership, ReadRound, ReadUnit
from node.raft.messages import Heartbeat, ReadContext, ReadIndex, ReadIndexReply
from node.raft.progress import Progress
from node.raft.quorum import agreed
from node.raft.state import PendingRead, State
from node.raft.types import Member, Role


def on_read(state: State, requests: tuple[int, ...], now: int) -> None:
    """This node's own clients want to read."""
    if state.leadership is not None:
        state.leadership.reads_waiting.append(ReadUnit(requests))
    elif state.role is Role.INITIAL:
        state.effects.append(Refused(requests, NotBorn("this node does not belong to a cluster yet")))
    elif not state.leader:
        state.effects.append(Refused(requests, NotLeader("")))
    else:
        _ask_leader(state, requests, now)


def on_read_index(state: State, sender: Member, message: ReadIndex) -> None:
    """A follower asks. One that is not the leader stays silent: the follower will notice a new leader itself."""
    lead = state.leadership
    if lead is None or message.term != state.term:
        return
    before, context = lead.reads_of_peers.get(sender.name), message.context
    if before is None or before.boot != context.boot or before.number < context.number:
        lead.reads_of_peers[sender.name] = context


def on_read_index_reply(state: State, message: ReadIndexReply) -> None:
    """The leader answered: those reads may be served once `index` is applied. Other boots' answers are not ours."""
    context = message.context
    if context.node != state.identity.name or context.boot != state.identity.boot:
        return
    asked = state.reads.asked
    covered = list(takewhile(lambda number: number <= context.number, asked))  # they came before that question
    for number in covered:
        state.reads.confirmed.append((message.index, asked.pop(number).requests))


def ask_again(state: State, now: int) -> None:
    """On a sign of life from the leader: reads it has not answered for a heartbeat are asked anew, with one question.

    An answer covers every read that came before its question, so this bounds what a lost message can cost. The
    earlier questions stay valid: on a link slower than a heartbeat nothing would ever be answered otherwise.
    """
    oldest = next(iter(state.reads.asked.values()), None)
    if oldest is None or now - max(oldest.sent_us, state.reads.asked_again_us) < state.settings.heartbeat_us:
        return
    state.reads.asked_again_us = now
    _send_question(state)


def on_forget_reads(state: State, requests: tuple[int, ...]) -> None:
    """They ran out of time: nothing of them stays here, however long no quorum or leader answers."""
    gone, reads, lead = frozenset(requests), state.reads, state.leadership

    def left(of: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(request for request in of if request not in gone)

    reads.confirmed = [(index, rest) for index, of in reads.confirmed if (rest := left(of))]
    for number, read in list(reads.asked.items()):
        rest = left(read.requests)
        if not rest:
            del reads.asked[number]
        elif len(rest) < len(read.requests):
            reads.asked[number] = PendingRead(number, rest, read.sent_us)
    if lead is not None:
        lead.reads_waiting = _without(lead.reads_waiting, left)
        lead.read_rounds = deque(
            ReadRound(round_.number, round_.index, tuple(_without(round_.units, left))) for round_ in lead.read_rounds
        )


def reads_waiting(state: State) -> int:
    """How many reads of this node's own clients wait here for anything."""
    own = [] if state.leadership is None else state.leadership.own_reads()
    asked = [*(read.requests for read in state.reads.asked.values()), *(unit.requests for unit in own)]
    return sum(map(len, asked)) + sum(len(requests) for _, requests in state.reads.confirmed)


def advance(state: State, lead: Leadership) -> None:
    """End of a leader's step. First what is confirmed, so that reads that wait begin the next round at once: waiting
    for another message they would, with one of three servers down, wait for a heartbeat."""
    confirm_rounds(state, lead)
    if start_round(state, lead):
        confirm_rounds(state, lead)  # a server that is alone is its own quorum


def current_context(state: State, lead: Leadership) -> ReadContext | None:
    """What a heartbeat sent now confirms: the newest round that is not confirmed, or nothing."""
    if not lead.read_rounds:
        return None
    return ReadContext(state.identity.name, state.identity.boot, lead.read_rounds[-1].number)


def heartbeat_to(state: State, progress: Progress, context: ReadContext | None) -> Heartbeat:
    """A follower is never told a commit index beyond what it is known to hold (pitfall 9)."""
    commit = min(state.commit, progress.match)
    progress.told_commit(commit)
    return Heartbeat(state.term, commit, context)


def start_round(state: State, lead: Leadership, also_in_flight: bool = False) -> bool:
    """Send a round for the reads that wait, unless one is under way: they then share the next one. Whether one began.

    A leader that has committed nothing in its term does not know what is committed (pitfall 20): they wait.
    `also_in_flight`: at the heartbeat, when the round under way may be lost, they wait no longer.
    """
    if not (lead.reads_waiting or lead.reads_of_peers) or (lead.read_rounds and not also_in_flight):
        return False
    if state.log.term_at(state.commit) != state.term:
        return False
    state.reads.round += 1
    peers = (ReadUnit(peer=peer, context=context) for peer, context in lead.reads_of_peers.items())
    lead.read_rounds.append(ReadRound(state.reads.round, state.commit, (*lead.reads_waiting, *peers)))
    lead.reads_waiting.clear()
    lead.reads_of_peers.clear()
    if also_in_flight:
        return True  # the heartbeat that is about to be sent carries it
    context = current_context(state, lead)
    for peer in state.configuration.voters:
        progress = lead.progress.get(peer)
        if progress is not None:
            state.send(peer.name, heartbeat_to(state, progress, context))
    return True


def confirm_rounds(state: State, lead: Leadership) -> None:
    """Release the rounds that a quorum has acknowledged; one acknowledgement confirms all earlier rounds too."""
    if not lead.read_rounds:
        return
    voters = state.configuration.voters
    confirmed = agreed(lead.by_voter(voters, state.me, state.reads.round, lambda progress: progress.read_acked))
    while lead.read_rounds and lead.read_rounds[0].number <= confirmed:
        done = lead.read_rounds.popleft()
        for unit in done.units:
            if unit.context is not None:
                state.send(unit.peer, ReadIndexReply(state.term, unit.context, done.index))
                lead.wants_commit(unit.peer, done.index)
            else:
                state.reads.confirmed.append((done.index, unit.requests))


def release_reads(state: State) -> None:
    """Serve confirmed reads whose index is applied."""
    if not state.reads.confirmed:
        return
    for index, requests in state.reads.confirmed:
        if index <= state.applied:
            state.effects.append(ReadReady(requests, index))
    state.reads.confirmed = [read for read in state.reads.confirmed if read[0] > state.applied]


def _without(units: Iterable[ReadUnit], left: Callable[[tuple[int, ...]], tuple[int, ...]]) -> list[ReadUnit]:
    """Units with what is left of their requests; a follower's stay as they are, an own one that is empty is gone."""
    kept = (unit if unit.context is not None else ReadUnit(left(unit.requests)) for unit in units)
    return [unit for unit in kept if unit.context is not None or unit.requests]


def _ask_leader(state: State, requests: tuple[int, ...], now: int) -> None:
    _send_question(state)
    state.reads.asked[state.reads.number] = PendingRead(state.reads.number, requests, now)


def _send_question(state: State) -> None:
    state.reads.number += 1
    context = ReadContext(state.identity.name, state.identity.boot, state.reads.number)
    state.send_in_term(state.leader, ReadIndex(state.term, context))
