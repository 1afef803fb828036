"""Elections on request: a leader hands over (thesis 3.10), an operator makes a server campaign or leave INITIAL.

The hand-over: the leader takes no more proposals, brings the target's log up to date, and tells it to campaign at once
(`TimeoutNow`); the target skips PreVote and its requests say that the leader wanted them, so that nobody's stickiness
stops it. Whatever comes of it, after one election timeout the leader takes proposals again (pitfall 19).

Why it exists: these are the only elections that no silence caused, and each owes somebody an answer (`Ordered`). It
must not give a vote or a term to anybody: an election on request is an election like any other, and may be lost.
"""

from node.raft import election
from node.raft.birth import waiting_for
from node.raft.effects import Ordered
from node.raft.events import Campaign, ForceTimeout, LeaveInitial, Order, TransferLeadership
from node.raft.messages import TimeoutNow
from node.raft.progress import Progress
from node.raft.roles import become_follower
from node.raft.state import State, Transfer
from node.raft.types import Member, Role


def obey(state: State, order: Order, now: int) -> None:
    """What an operator asked of the algorithm. It is answered once, in `Ordered`, now or when it is decided."""
    match order:
        case Campaign():
            on_campaign(state, order, now)
        case ForceTimeout():
            on_force_timeout(state, order, now)
        case TransferLeadership():
            on_transfer(state, order, now)
        case LeaveInitial():
            on_leave_initial(state, order, now)


def on_campaign(state: State, event: Campaign, now: int) -> None:
    """Begin an election as the target of a hand-over does: a new term, no PreVote, requests that stickiness obeys."""
    refusal = _cannot_campaign(state, now)
    if refusal:
        _answer(state, event.request, False, refusal)
        return
    election.campaign_at_once(state, now, "asked to campaign")
    _answer(state, event.request, True, f"{state.identity.name} campaigns in term {state.term}")


def on_force_timeout(state: State, event: ForceTimeout, now: int) -> None:
    """The election timeout, now. PreVote comes first, so servers that hear their leader refuse, and nothing changes."""
    refusal = _cannot_campaign(state, now)
    if refusal:
        _answer(state, event.request, False, refusal)
        return
    election.campaign(state, now)
    _answer(
        state, event.request, True, f"{state.identity.name} asks whether it could win term {state.term + 1} (PreVote)"
    )


def on_leave_initial(state: State, event: LeaveInitial, now: int) -> None:
    """End the wait in INITIAL in the ordinary way: follow, or with an empty log ask to be born. Never round a birth."""
    if state.role is not Role.INITIAL:
        _answer(state, event.request, False, f"{state.identity.name} is a {state.role.value}, it left INITIAL long ago")
        return
    if not state.waits_in_initial:
        _answer(state, event.request, False, f"birth needs more than a command: {waiting_for(state, now)}")
        return
    state.waits_in_initial = False
    if state.born:
        become_follower(state, state.term, "", now, "asked to leave INITIAL")
        _answer(state, event.request, True, f"{state.identity.name} follows, in term {state.term}")
        return
    state.birth_due_us = now
    _answer(
        state, event.request, True, f"{state.identity.name} asks to be born; birth needs: {waiting_for(state, now)}"
    )


def on_transfer(state: State, event: TransferLeadership, now: int) -> None:
    """Thesis 3.10, step 1: stop taking proposals. `advance` does the rest; the answer comes when it is decided."""
    lead, wanted = state.leadership, event.target
    others = (
        {} if lead is None else {voter.name: voter for voter in state.configuration.voters if voter in lead.progress}
    )
    refusal = ""
    if lead is None:
        where = f"{state.leader} does" if state.leader else "no leader is known"
        refusal = f"{state.identity.name} does not lead: {where}"
    elif state.transfer is not None:
        refusal = f"the lead is being handed to {state.transfer.target.name} already"
    elif wanted == state.identity.name:
        refusal = f"{wanted} leads already"
    elif not others:
        refusal = "there is no other voter"
    elif wanted and wanted not in others:
        refusal = f"{wanted} is not a voter; the others are {', '.join(others)}"
    if refusal or lead is None:
        _answer(state, event.request, False, refusal)
        return
    target = others[wanted] if wanted else max(others.values(), key=lambda voter: _standing(lead.progress[voter]))
    state.transfer = Transfer(event.request, target, state.term, now + state.settings.election_max_us)
    state.trace("transfer", target=target.name, phase="begun")


def leave_if_removed(state: State, now: int) -> None:
    """A leader that is no voter any more leads until that is committed, and then steps down (thesis 4.2.2).

    It tells the voter that is furthest to campaign at once, so that nobody has to wait for a timeout.
    """
    lead = state.leadership
    if lead is None or not state.settled or state.is_voter:
        return
    voters = [voter for voter in state.configuration.voters if voter in lead.progress]
    target = max(voters, key=lambda voter: _standing(lead.progress[voter]))
    if lead.progress[target].match == state.log.last_index:
        state.send(target.name, TimeoutNow(state.term))
    become_follower(state, state.term, "", now, "it was removed from the voters")


def _standing(progress: Progress) -> tuple[int, int]:
    """Of equal logs, the one that answered last: it is the surest to be there."""
    return progress.match, progress.answered_us


def on_timeout_now(state: State, sender: Member, now: int) -> None:
    """The leader of this very term wants this server to lead; of anybody else it is no reason to disturb a leader."""
    able = state.is_voter and not state.disk_is_silent(now)
    if state.leader == sender.name and state.role is Role.FOLLOWER and able:
        election.campaign_at_once(state, now, f"{sender.name} hands over")


def advance(state: State) -> None:
    """End of a step. Steps 2 and 3: once the target holds the whole log, tell it. Or see how it ended."""
    transfer = state.transfer
    if transfer is None:
        return
    lead, target = state.leadership, transfer.target
    if lead is not None and state.term == transfer.term:
        progress = lead.progress.get(target)
        if progress is None or target not in state.configuration.voters:
            _end(state, False, f"{target.name} is no member any more; {state.identity.name} still leads")
        elif not transfer.told and progress.match == state.log.last_index:
            transfer.told = True
            state.send(target.name, TimeoutNow(state.term))
            state.trace("transfer", target=target.name, phase="told")
    elif state.leader:
        _end(state, state.leader == target.name, f"{state.leader} leads in term {state.term}")


def on_transfer_deadline(state: State) -> None:
    """One election timeout has passed: a leader that still leads goes on as before."""
    if state.transfer is None:
        return
    target = state.transfer.target.name
    if state.role is Role.LEADER and state.term == state.transfer.term:
        why = "did not take over" if state.transfer.told else "did not catch up"
        _end(state, False, f"{target} {why} within an election timeout; {state.identity.name} still leads")
    elif state.transfer.told:
        _end(state, False, f"{target} was told to take over, but no leader of term {state.term} is known yet")
    else:
        _end(state, False, f"{state.identity.name} lost the lead before {target} could take over")


def _end(state: State, handed_over: bool, message: str) -> None:
    if state.transfer is not None:
        state.trace("transfer", target=state.transfer.target.name, phase="done" if handed_over else "failed")
        _answer(state, state.transfer.request, handed_over, message)
        state.transfer = None


def _cannot_campaign(state: State, now: int) -> str:
    """Why this server may not campaign; empty when it may."""
    name = state.identity.name
    if state.role is Role.INITIAL:
        return f"{name} is INITIAL: it has no vote, and cannot ask for any"
    if state.role is Role.LEADER:
        return f"{name} leads already"
    if state.left_out:
        return f"{name} was removed from the cluster"
    if not state.is_voter:
        return f"{name} is not a voter"
    if state.disk_is_silent(now):
        return f"the disk of {name} has not answered for {state.disk_silent_us(now) // 1_000} ms"
    return ""


def _answer(state: State, request: int, done: bool, message: str) -> None:
    state.effects.append(Ordered(request, done, message))
