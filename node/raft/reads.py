"""Linearizable reads without writing (ReadIndex, thesis 6.4), on the leader and on followers. No leases, ever.

A read is safe at index i once a quorum has confirmed, after the read arrived, that no newer leader exists, and the
state machine holds i. A round of heartbeats confirms everything that joined before it was sent; the round's context
is (node, boot, number), and only acknowledgements that echo it count.

Why it exists: a paused or cut-off leader must never answer with old values (pitfalls 20 and 22). It must not know
what is read.
"""

from node.raft.effects import ReadReady, Refused
from node.raft.errors import NotBorn, NotLeader
from node.raft.leadership import Leadership, ReadRound, ReadUnit
from node.raft.messages import Heartbeat, ReadContext, ReadIndex, ReadIndexReply
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
    if state.leadership is not None and message.term == state.term:
        state.leadership.reads_waiting.append(ReadUnit(peer=sender.name, context=message.context))


def on_read_index_reply(state: State, message: ReadIndexReply) -> None:
    """The leader answered: those reads may be served once `index` is applied. Other boots' answers are not ours."""
    context = message.context
    if context.node != state.identity.name or context.boot != state.identity.boot:
        return
    covered = [number for number in state.reads.asked if number <= context.number]  # they came before that question
    for number in covered:
        state.reads.confirmed.append((message.index, state.reads.asked.pop(number).requests))


def ask_again(state: State, now: int) -> None:
    """On a sign of life from the leader: reads it has not answered for a heartbeat are asked anew, with one question.

    An answer covers every read that came before its question, so this bounds what a lost message can cost. The
    earlier questions stay valid: on a link slower than a heartbeat nothing would ever be answered otherwise.
    """
    oldest = next(iter(state.reads.asked.values()), None)
    if oldest is None or now - oldest.sent_us < state.settings.heartbeat_us:
        return
    state.reads.asked = {number: PendingRead(number, read.requests, now) for number, read in state.reads.asked.items()}
    _send_question(state)


def current_context(state: State, lead: Leadership) -> ReadContext | None:
    """What a heartbeat sent now confirms: the newest round that is not confirmed, or nothing."""
    if not lead.read_rounds:
        return None
    return ReadContext(state.identity.name, state.identity.boot, lead.read_rounds[-1].number)


def start_round(state: State, lead: Leadership, also_in_flight: bool = False) -> None:
    """Send a round for the reads that wait, unless one is under way: they then share the next one.

    A leader that has committed nothing in its term does not know what is committed (pitfall 20): they wait.
    `also_in_flight`: at the heartbeat, when the round under way may be lost, they wait no longer.
    """
    if not lead.reads_waiting or (lead.read_rounds and not also_in_flight):
        return
    if state.log.term_at(state.commit) != state.term:
        return
    state.reads.round += 1
    lead.read_rounds.append(ReadRound(state.reads.round, state.commit, tuple(lead.reads_waiting)))
    lead.reads_waiting.clear()
    if also_in_flight:
        return  # the heartbeat that is about to be sent carries it
    context = current_context(state, lead)
    for peer in state.configuration.voters:
        progress = lead.progress.get(peer)
        if progress is not None:
            commit = min(state.commit, progress.match)
            state.send(peer.name, Heartbeat(state.term, commit, context))


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


def _ask_leader(state: State, requests: tuple[int, ...], now: int) -> None:
    _send_question(state)
    state.reads.asked[state.reads.number] = PendingRead(state.reads.number, requests, now)


def _send_question(state: State) -> None:
    state.reads.number += 1
    context = ReadContext(state.identity.name, state.identity.boot, state.reads.number)
    state.send_in_term(state.leader, ReadIndex(state.term, context))
