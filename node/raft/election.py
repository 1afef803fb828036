"""Elections: PreVote (thesis 9.6), votes (section 5.2, 5.4.1), leader stickiness and CheckQuorum (thesis 6.2).

Why it exists: who may lead, and only that. It must not touch the log.
"""

from node.raft import evidence
from node.raft.events import PeerGone
from node.raft.leadership import Leadership
from node.raft.messages import PreVote, PreVoteReply, Vote, VoteReply
from node.raft.quorum import Tally, agreed, tally
from node.raft.roles import become_candidate, become_follower, become_leader, become_pre_candidate, set_leader
from node.raft.state import State
from node.raft.types import Member, Role, ballot, is_for, voted_for


def on_election_deadline(state: State, now: int) -> None:
    """Nobody led for an election timeout, or a campaign came to nothing: ask whether an election could be won."""
    if not state.may_campaign:
        state.election_due_us = None  # learners and removed servers never campaign
        set_leader(state, "", now)  # but what they are asked waits for nobody who is silent, as with voters (section 8)
    elif state.disk_is_silent(now):
        _stand_back(state, now)
    else:
        campaign(state, now)


def on_gone_deadline(state: State, now: int) -> None:
    """The leader's process is gone, as this server saw itself: campaign without waiting for silence (decision 8).

    PreVote comes first as ever: it is refused by whoever hears the leader.
    """
    if not state.is_voter or state.disk_is_silent(now):
        state.evidence.due_us = None  # the election timeout says the rest
        return
    if state.role is Role.PRE_CANDIDATE and _tally(state) is Tally.WON:
        _start_vote(state, now)  # it had to wait: see `evidence.must_wait`
        return
    evidence.asks(state, now)
    if state.role is Role.PRE_CANDIDATE and state.candidacy is not None:
        # In the same campaign, since an answer that is on its way is as good as a new one; but who promised its vote
        # may have heard the leader since.
        state.candidacy.votes = {state.me: True}
        _ask_for_pre_votes(state)
    else:
        campaign(state, now, "the leader's process is gone")


def on_peer_gone(state: State, event: PeerGone, now: int) -> None:
    """The links say that a process is gone; who asked a moment too early, if it was the leader, is answered anew."""
    evidence.on_peer_gone(state, event, now)
    for candidate, message in evidence.refused_lately(state, now):
        on_pre_vote(state, candidate, message, now)


def campaign(state: State, now: int, reason: str = "election timeout") -> None:
    """First phase: PreVote keeps a server that cannot win from disturbing the term of those that work."""
    become_pre_candidate(state, now, reason)
    state.trace("election", phase="pre-vote", campaign=state.campaign)
    _ask_for_pre_votes(state)
    _count(state, now)


def on_pre_vote(state: State, sender: Member, message: PreVote, now: int) -> None:
    """Answer truthfully, change nothing: neither term nor vote nor election timer (pitfalls 13 and 14).

    A request of an old term is answered too, else servers at different terms could wait for each other for ever.
    A grant echoes the requested term, a refusal carries our own, which lets one who is behind catch up.
    """
    reason = ""
    if message.term < state.term:
        reason = "term is over"
    elif message.term == state.term and ((state.vote and not is_for(state.vote, sender)) or state.leader):
        reason = "term is taken"
    elif _follows_living_leader(state, now):
        reason = "leader is alive"
        evidence.refuses(state, sender, message, now)
    elif not state.log.up_to_date(message.last_index, message.last_term):
        reason = "log is behind"
    _trace_vote(state, sender, reason, "pre-vote")
    if not reason and evidence.gives_way(state, sender, now):
        become_follower(state, state.term, "", now, f"gives way to {sender.name}")
    term = state.term if reason else message.term
    # A refusal reveals our term, which may not be durable yet.
    reply = PreVoteReply(term, not reason, message.campaign, *_out(state, sender), asker=sender.incarnation)
    state.send_when_durable(sender.name, reply)


def _out(state: State, sender: Member) -> tuple[int, int]:
    """Where `sender` is known to be no member: only of what is committed may it be told. It was removed while it was
    away, and nobody sends it the log; nobody needs it either, once a majority of the others holds the change."""
    if not state.settled or sender in state.configuration.members:
        return 0, 0
    return state.commit, state.log.term_at(state.commit) or 0


def on_left_out(state: State, sender: Member, message: PreVoteReply, now: int) -> None:
    """A member says that this server is none any more: if that is later than what it knows, it campaigns no more.

    A voter of the release before does not say whom it answers: it is believed only in answer to this very campaign.
    """
    asked = state.role is Role.PRE_CANDIDATE and message.campaign == state.campaign
    if not message.asker and not asked:
        return
    before = state.left_out
    state.told_out = max(state.told_out, (message.out_term, message.out_index))
    if before or not state.left_out:
        return
    state.trace("left-out", peer=sender.name, index=message.out_index)
    if state.role in (Role.PRE_CANDIDATE, Role.CANDIDATE):
        become_follower(state, state.term, "", now, f"{sender.name} says that it was removed")


def on_pre_vote_reply(state: State, sender: Member, message: PreVoteReply, now: int) -> None:
    """Count it if it answers this very campaign: an old grant says nothing about now (pitfall 15)."""
    if state.role is not Role.PRE_CANDIDATE or message.campaign != state.campaign:
        return
    if message.granted and message.term != state.term + 1:
        return
    _take(state, sender, message.granted, "pre-vote", now)


def ignores_vote(state: State, message: Vote, now: int) -> bool:
    """Leader stickiness: with a living leader, a vote request does not even raise the term (thesis 4.2.3, 6.4.1).

    Unless that leader itself asked for the election. This is what makes a disruptive server harmless (pitfall 16).
    """
    return not message.transfer and _follows_living_leader(state, now)


def on_vote(state: State, sender: Member, message: Vote, now: int) -> None:
    """Grant if it is this term, no other has our vote, nobody leads, and the log is up to date (5.2, 5.4.1)."""
    reason = ""
    if message.term < state.term:
        reason = "term is over"
    elif state.vote and not is_for(state.vote, sender):
        reason = f"voted for {voted_for(state.vote)}"
    elif state.vote == "" and state.leader:
        reason = "leader is known"
    elif not state.log.up_to_date(message.last_index, message.last_term):
        reason = "log is behind"
    if not reason:
        if not state.vote:
            state.vote = ballot(sender)
            state.disk.hard_state_changed()
        state.restart_election_timer(now)
    _trace_vote(state, sender, reason, "vote")
    state.send_when_durable(sender.name, VoteReply(state.term, not reason, sender.incarnation))


def on_vote_reply(state: State, sender: Member, message: VoteReply, now: int) -> None:
    """Count it once per voter (pitfall 15); the step has made sure that it is of this term."""
    if state.role is not Role.CANDIDATE or message.term != state.term:
        return
    _take(state, sender, message.granted, "vote", now)


def on_durable(state: State, token: int, now: int) -> None:
    """Our own vote counts like any other: only when it is on disk (pitfall 3)."""
    own = state.candidacy
    if own is not None and own.self_vote_token is not None and token >= own.self_vote_token:
        own.self_vote_token = None
        own.votes[state.me] = True
        _count(state, now)


def check_quorum(state: State, lead: Leadership, now: int) -> None:
    """A leader that no quorum has answered for an election timeout steps down (thesis 6.2).

    So clients of a cut-off leader learn soon that it can serve nothing, instead of waiting. Only answers to this
    leader count: one that can talk to us but not hear us is not connected.
    """
    period = state.settings.election_max_us
    voters = state.configuration.voters
    contacts = lead.by_voter(voters, state.me, now, lambda progress: progress.answered_us)
    connected_since = agreed(contacts)
    if now - connected_since < period:
        lead.quorum_due_us = connected_since + period
        return
    heard = sum(1 for at in contacts if now - at < period)
    state.trace("quorum-lost", heard=heard, voters=len(voters))
    become_follower(state, state.term, "", now, "no quorum answered for an election timeout")


def _take(state: State, voter: Member, granted: bool, phase: str, now: int) -> None:
    if state.candidacy is not None:
        state.candidacy.votes[voter] = granted
        state.trace("vote-reply", voter=voter.name, granted=granted, phase=phase)
        _count(state, now)


def leave_for_a_silent_disk(state: State, now: int) -> None:
    """A leader whose disk has not answered for too long steps down: it cannot apply, hence answer, anything.

    Its heartbeats would keep it in the lead for ever, since Raft lets a leader commit by others' disks alone (section
    5.3), while a server with a working disk could serve everybody. Nor would it be elected again: `_stand_back`.
    """
    silent_ms = state.disk_silent_us(now) // 1_000
    state.trace("disk-silent", silent_ms=silent_ms, then="steps down")
    become_follower(state, state.term, "", now, f"its disk has not answered for {silent_ms} ms")


def _stand_back(state: State, now: int) -> None:
    """No campaign, not even a question, with a disk that does not answer: no vote of its own could ever be durable,
    and every new term would only disturb. It looks again after another election timeout."""
    if state.role is not Role.FOLLOWER:
        become_follower(state, state.term, "", now, "its disk does not answer")
    set_leader(state, "", now)  # nobody led for an election timeout
    state.trace("disk-silent", silent_ms=state.disk_silent_us(now) // 1_000, then="does not campaign")
    state.restart_election_timer(now, fresh=True)


def _count(state: State, now: int) -> None:
    result = _tally(state)
    if state.role is Role.PRE_CANDIDATE:
        if result is Tally.WON and not evidence.must_wait(state, now):
            _start_vote(state, now)
        elif result is Tally.LOST and not state.evidence.gone:  # else who refused may be about to see what this one saw
            become_follower(state, state.term, "", now, "pre-vote refused")
    elif state.role is Role.CANDIDATE:
        if result is Tally.WON:
            become_leader(state, now)
        elif result is Tally.LOST:
            become_follower(state, state.term, "", now, "vote refused")


def _tally(state: State) -> Tally:
    votes = state.candidacy.votes if state.candidacy is not None else {}
    return tally(state.configuration.voters, votes)


def campaign_at_once(state: State, now: int, reason: str) -> None:
    """The second phase alone, for an election that somebody in charge wants (thesis 3.10): no PreVote (pitfall 19)."""
    state.campaign += 1
    become_candidate(state, now, reason)
    _ask_for_votes(state, transfer=True)


def _start_vote(state: State, now: int) -> None:
    if state.disk_is_silent(now):
        _stand_back(state, now)
        return
    become_candidate(state, now)
    _ask_for_votes(state, transfer=False)


def _ask_for_pre_votes(state: State) -> None:
    request = PreVote(state.term + 1, state.log.last_index, state.log.last_term, state.campaign)
    for peer in state.configuration.voters:
        if peer.name != state.identity.name:
            state.send(peer.name, request)


def _ask_for_votes(state: State, transfer: bool) -> None:
    """Second phase: term and own vote are durable before any request leaves, so a restart cannot vote twice."""
    state.trace("election", phase="vote", campaign=state.campaign)
    request = Vote(state.term, state.log.last_index, state.log.last_term, transfer)
    for peer in state.configuration.voters:
        if peer.name != state.identity.name:
            state.send_when_durable(peer.name, request)


def _follows_living_leader(state: State, now: int) -> bool:
    """Whether a leader was heard within the shortest election timeout, and this server did not see its end; a leader
    trusts its own CheckQuorum."""
    if state.role is Role.LEADER:
        return True
    if evidence.says_gone(state):
        return False
    contact = state.leader_contact_us
    return bool(state.leader) and contact is not None and now - contact < state.settings.election_min_us


def _trace_vote(state: State, sender: Member, reason: str, phase: str) -> None:
    state.trace("vote", candidate=sender.name, granted=not reason, phase=phase, reason=reason)
