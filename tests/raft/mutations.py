"""Mistakes that implementations of Raft really made, each as one small change of `node/raft`.

Why it exists: see `tests.mutating`.

    python -m tests.raft.mutations            the whole list, one line a mutation; exit code 1 if one survives
    python -m tests.raft.mutations NAME ...   these
"""

import sys
from pathlib import Path

from tests.mutating import Mutation, passes, run

HERE = Path(__file__).resolve().parent
ROOM = "node/raft"
RANDOM = ("test_quorum", "test_log_and_progress")
"""Run last: they are slow to fail, since hypothesis looks for the smallest example."""
LAST = (*RANDOM, "test_mutations")

MUTATIONS = (
    Mutation(
        "count old-term commits",
        "replication.py",
        "if index > state.commit and state.log.term_at(index) == state.term:",
        "if index > state.commit:",
    ),
    Mutation(
        "skip the noop", "core.py", "                replication.append_noop(state, lead, now)", "                pass"
    ),
    Mutation(
        "noop obeys the full log",
        "core.py",
        "            if log.last_term != state.term:",
        "            if log.last_term != state.term and log.size_bytes < state.settings.log_bytes_max:",
    ),
    Mutation(
        "acknowledge before durable",
        "following.py",
        "state.send_when_durable(sender.name, AppendReply(state.term, True, max(last_new, state.commit)",
        "state.send(sender.name, AppendReply(state.term, True, max(last_new, state.commit)",
    ),
    Mutation(
        "vote before durable",
        "election.py",
        "state.send_when_durable(sender.name, VoteReply(",
        "state.send(sender.name, VoteReply(",
    ),
    Mutation(
        "vote request before durable",
        "election.py",
        "            state.send_when_durable(peer.name, request)",
        "            state.send(peer.name, request)",
    ),
    Mutation(
        "own vote before durable",
        "roles.py",
        "    state.candidacy = Candidacy({}, state.disk.next_token)",
        "    state.candidacy = Candidacy({state.me: True}, state.disk.next_token)",
    ),
    Mutation(
        "any write vouches for the own vote",
        "election.py",
        "own.self_vote_token is not None and token >= own.self_vote_token:",
        "own.self_vote_token is not None:",
    ),
    Mutation("vote is not written", "election.py", "            state.disk.hard_state_changed()", "            pass"),
    Mutation("vote twice", "election.py", "    elif state.vote and not is_for(state.vote, sender):", "    elif False:"),
    Mutation(
        "vote for a log that is behind",
        "log.py",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "last_index >= self.last_index",
    ),
    Mutation(
        "the longer log wins a tie of terms no more",
        "log.py",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "last_term >= self.last_term",
    ),
    Mutation(
        "keep the vote in a new term", "roles.py", '        state.vote = ""\n        state.disk', "        state.disk"
    ),
    Mutation(
        "new term is not written",
        "roles.py",
        '        state.vote = ""\n        state.disk.hard_state_changed()',
        '        state.vote = ""',
    ),
    Mutation(
        "no stickiness",
        "election.py",
        "    return not message.transfer and _follows_living_leader(state, now)",
        "    return False",
    ),
    Mutation(
        "a transfer is ignored",
        "election.py",
        "    return not message.transfer and _follows",
        "    return _follows",
    ),
    Mutation(
        "pre-vote ignores the living leader",
        "election.py",
        "    elif _follows_living_leader(state, now):\n",
        "    elif False:\n",
    ),
    Mutation(
        "trust a hint of another member",
        "evidence.py",
        "member.name != state.leader or member not in state.peers:",
        "member not in state.peers:",
    ),
    Mutation(
        "evidence of an old process",
        "evidence.py",
        "evidence.boots.get(member.name) != event.boot or evidence.gone",
        "evidence.gone",
    ),
    Mutation("evidence of another disk of the leader's name", "evidence.py", " or member not in state.peers:", ":"),
    Mutation(
        "keep evidence after the leader was heard",
        "receiving.py",
        "    evidence.heard(state, sender.name, now)\n",
        "",
    ),
    Mutation(
        "only heartbeats end evidence",
        "receiving.py",
        "    evidence.heard(state, sender.name, now)\n",
        "    if isinstance(message, Heartbeat):\n        evidence.heard(state, sender.name, now)\n",
    ),
    Mutation("keep evidence after the leader's hello", "evidence.py", "    heard(state, event.member.name, now)\n", ""),
    Mutation(
        "any message ends evidence",
        "evidence.py",
        "    if state.evidence.gone == name:",
        "    if state.evidence.gone:",
    ),
    Mutation(
        "keep evidence in a new term",
        "roles.py",
        "        state.evidence.forget()\n        set_leader",
        "        set_leader",
    ),
    Mutation(
        "a candidate keeps its evidence",
        "roles.py",
        "    state.vote = ballot(state.me)\n    state.disk.hard_state_changed()\n    state.evidence.forget()\n",
        "    state.vote = ballot(state.me)\n    state.disk.hard_state_changed()\n",
    ),
    Mutation(
        "waive stickiness without own evidence",
        "election.py",
        "    if evidence.says_gone(state):",
        "    if state.evidence.boots:",
    ),
    Mutation(
        "stickiness in spite of own evidence",
        "election.py",
        "    if evidence.says_gone(state):",
        "    if False:",
    ),
    Mutation(
        "no PreVote on evidence",
        "election.py",
        '    campaign(state, now, "the leader\'s process is gone")',
        '    campaign_at_once(state, now, "the leader\'s process is gone")',
    ),
    Mutation(
        "no wait for a leader that dials again",
        "election.py",
        "        if result is Tally.WON and not evidence.must_wait(state, now):",
        "        if result is Tally.WON:",
    ),
    Mutation(
        "all ask at one moment",
        "evidence.py",
        "    return voters.index(state.me)\n",
        "    return 0\n",
    ),
    Mutation(
        "turns without chance",
        "evidence.py",
        "(slots + state.chance.random()))",
        "slots)",
    ),
    Mutation(
        "ask for ever",
        "evidence.py",
        "    evidence.tries_left -= 1\n",
        "",
    ),
    Mutation(
        "ask once",
        "evidence.py",
        " if evidence.tries_left > 0 else None",
        " if False else None",
    ),
    Mutation(
        "give way to nobody",
        "evidence.py",
        "        evidence.due_us = max(evidence.due_us, now + state.settings.election_min_us)",
        "        pass",
    ),
    Mutation(
        "everybody gives way",
        "evidence.py",
        "    if asked and (candidate not in voters or voters.index(candidate) > voters.index(state.me)):",
        "    if False:",
    ),
    Mutation(
        "who goes on is held up by what it promised",
        "evidence.py",
        "    if asked and (candidate not in voters",
        "    if evidence.due_us is not None:\n"
        "        evidence.due_us = max(evidence.due_us, now + state.settings.election_min_us)\n"
        "    if asked and (candidate not in voters",
    ),
    Mutation(
        "a campaign outlives its evidence",
        "evidence.py",
        "        if state.role is Role.PRE_CANDIDATE:  # what",
        "        if False:  # what",
    ),
    Mutation(
        "refusals end a campaign on evidence",
        "election.py",
        "        elif result is Tally.LOST and not state.evidence.gone:",
        "        elif result is Tally.LOST:",
    ),
    Mutation(
        "what was promised before the leader was heard counts when it is asked again",
        "election.py",
        "        state.candidacy.votes = {state.me: True}\n",
        "",
    ),
    Mutation(
        "ask again in a new campaign",
        "election.py",
        "    if state.role is Role.PRE_CANDIDATE and state.candidacy is not None:",
        "    if False:",
    ),
    Mutation(
        "answer nobody anew",
        "evidence.py",
        "state.evidence.refused if says_gone(state) else {}",
        "{}",
    ),
    Mutation("answer anew whoever asked long ago", "evidence.py", " if now - at < period]", "]"),
    Mutation(
        "remember what strangers asked",
        "evidence.py",
        "    if candidate in state.peers:\n        state.evidence.refused",
        "    if True:\n        state.evidence.refused",
    ),
    Mutation(
        "remember what was asked in another term",
        "state.py",
        '        self.gone, self.due_us = "", None\n        self.refused.clear()',
        '        self.gone, self.due_us = "", None',
    ),
    Mutation(
        "a heartbeat beside the first Append",
        "leadership.py",
        "        self.heartbeat_due_us = now + settings.heartbeat_us",
        "        self.heartbeat_due_us = now",
    ),
    Mutation(
        "a write before the noop",
        "replication.py",
        "        append_noop(state, lead, now)  # it was elected",
        "        pass  # it was elected",
    ),
    Mutation(
        "evidence campaigns with a silent disk",
        "election.py",
        "    if not state.is_voter or state.disk_is_silent(now):\n        state.evidence",
        "    if not state.is_voter:\n        state.evidence",
    ),
    Mutation(
        "count votes by counter",
        "election.py",
        "        state.candidacy.votes[voter] = granted\n",
        "        free = [other for other in state.configuration.voters if other not in state.candidacy.votes]\n"
        "        state.candidacy.votes[(free or [voter])[-1]] = granted\n",
    ),
    Mutation(
        "count answers to old campaigns",
        "election.py",
        "state.role is not Role.PRE_CANDIDATE or message.campaign != state.campaign:",
        "state.role is not Role.PRE_CANDIDATE:",
    ),
    Mutation(
        "votes of any term count",
        "receiving.py",
        "return isinstance(message, (Vote, PreVote))",
        "return isinstance(message, (Vote, PreVote, VoteReply, AppendReply, HeartbeatReply))",
    ),
    Mutation("half is a quorum", "quorum.py", "    return voters // 2 + 1", "    return (voters + 1) // 2"),
    Mutation(
        "PreVote raises the term",
        "receiving.py",
        "isinstance(message, PreVote) or (isinstance(message, PreVoteReply) and message.granted):",
        "isinstance(message, PreVoteReply) and message.granted:",
    ),
    Mutation(
        "granted pre-vote reply raises the term",
        "receiving.py",
        "isinstance(message, PreVote) or (isinstance(message, PreVoteReply) and message.granted):",
        "isinstance(message, PreVote):",
    ),
    Mutation(
        "pre-candidate keeps its leader",
        "roles.py",
        '    _leave(state)\n    set_leader(state, "", now)\n    state.campaign += 1',
        "    _leave(state)\n    state.campaign += 1",
    ),
    Mutation(
        "refused vote restarts the timer",
        "election.py",
        "            state.disk.hard_state_changed()\n        state.restart_election_timer(now)",
        "            state.disk.hard_state_changed()\n    state.restart_election_timer(now)",
    ),
    Mutation(
        "pre-vote restarts the timer",
        "election.py",
        '    _trace_vote(state, sender, reason, "pre-vote")',
        '    _trace_vote(state, sender, reason, "pre-vote")\n    state.restart_election_timer(now)',
    ),
    Mutation(
        "old leaders are not told",
        "receiving.py",
        "        following.answer_old_leader(state, sender, message)\n",
        "",
    ),
    Mutation("no CheckQuorum", "election.py", "    if now - connected_since < period:", "    if True:"),
    Mutation(
        "a paused leader speaks first",
        "core.py",
        "is not None and now >= lead.quorum_due_us:",
        "is not None and now >= lead.quorum_due_us and now < lead.quorum_due_us + 1:",
    ),
    Mutation(
        "heartbeat commit not capped by match",
        "reads.py",
        "    commit = min(state.commit, progress.match)\n",
        "    commit = state.commit\n",
    ),
    Mutation(
        "tell every commit at once",
        "replication.py",
        "            if due or progress.commit_wanted:",
        "            if True:",
    ),
    Mutation(
        "tell a commit with heartbeats alone",
        "replication.py",
        "        lead.commit_due_us = now + put_off_us",
        "        pass",
    ),
    Mutation(
        "let a follower that reads wait for the commit",
        "reads.py",
        "                lead.wants_commit(unit.peer, done.index)",
        "                pass",
    ),
    Mutation(
        "tell a commit that a heartbeat has told",
        "reads.py",
        "    progress.told_commit(commit)",
        "    pass",
    ),
    Mutation(
        "forget who needs a snapshot",
        "replication.py",
        "        lead.snapshot_needed = True",
        "        pass",
    ),
    Mutation(
        "begin no round for reads of followers",
        "leadership.py",
        "        return bool(self.reads_waiting or self.reads_of_peers or self.read_rounds)",
        "        return bool(self.reads_waiting or self.read_rounds)",
    ),
    Mutation(
        "submit nothing where only answers wait",
        "disk.py",
        "        return last_index > self._submitted_last or changed or bool(self._then)",
        "        return last_index > self._submitted_last or changed",
    ),
    Mutation(
        "the log's end forgets a truncation",
        "log.py",
        "        self.last_index = self.base.index + len(self._entries)\n",
        "",
    ),
    Mutation(
        "follower commits what the leader says",
        "following.py",
        "    state.commit = max(state.commit, min(message.commit, last_new))",
        "    state.commit = max(state.commit, min(message.commit, state.log.last_index))",
    ),
    Mutation(
        "truncate on every append",
        "following.py",
        "    conflict = state.log.first_conflict(entries)\n",
        "    conflict = entries[0].index if entries else None\n",
    ),
    Mutation(
        "refuse below the commit index",
        "following.py",
        "    if message.prev_index < state.commit:",
        "    if False:",
    ),
    Mutation(
        "no consistency check",
        "following.py",
        "    elif state.log.term_at(message.prev_index) != message.prev_term:",
        "    elif message.prev_index > state.log.last_index:",
    ),
    Mutation(
        "truncate committed entries",
        "membership.py",
        '        index > state.commit, "term',
        '        True, "term',
    ),
    Mutation(
        "forget clipping outstanding writes (ABA)",
        "disk.py",
        "            write.last_index = index - 1",
        "            pass",
    ),
    Mutation(
        "truncation is not written",
        "disk.py",
        "            self._truncate_from = index if",
        "            _ = index if",
    ),
    Mutation(
        "durable falls not on truncation",
        "disk.py",
        "        self.durable = min(self.durable, index - 1)\n",
        "",
    ),
    Mutation(
        "leader counts itself before its disk",
        "replication.py",
        "state.me, state.disk.durable, lambda",
        "state.me, state.log.last_index, lambda",
    ),
    Mutation(
        "apply before durable", "core.py", "ready = min(state.commit, state.disk.durable)", "ready = state.commit"
    ),
    Mutation(
        "the earliest acknowledgement of a step is kept",
        "disk.py",
        "told.index < message.index:",
        "told.index > message.index:",
    ),
    Mutation(
        "probe back one entry at a time (follower)",
        "following.py",
        "state.log.last_not_above(message.prev_index, message.prev_term)",
        "(min(message.prev_index - 1, state.log.last_index), 1 << 40)",
    ),
    Mutation(
        "leader takes the hint without its own terms",
        "replication.py",
        "could_match, _ = state.log.last_not_above(message.hint_index, message.hint_term)",
        "could_match = message.hint_index",
    ),
    Mutation("late refusals count", "progress.py", "            if prev_index <= self.match:", "            if False:"),
    Mutation("refusals of other probes count", "progress.py", " or self.next - 1 != prev_index:", ":"),
    Mutation("match goes back", "progress.py", "        if index > self.match:\n", "        if index != self.match:\n"),
    Mutation(
        "window not bounded in messages",
        "progress.py",
        "return len(self._inflight) >= self._messages_max or self",
        "return self",
    ),
    Mutation(
        "window not bounded in bytes",
        "progress.py",
        "_messages_max or self.inflight_bytes >= self._bytes_max",
        "_messages_max",
    ),
    Mutation(
        "a lost window is never found out",
        "progress.py",
        "        return stalled",
        "        return stalled and not self.paused",
    ),
    Mutation(
        "a lost probe is never repeated",
        "progress.py",
        "            self.probe_sent = False\n            return True",
        "            return False",
    ),
    Mutation(
        "heartbeats are answered by the disk",
        "following.py",
        "    state.send_in_term(sender.name, HeartbeatReply",
        "    state.send_when_durable(sender.name, HeartbeatReply",
    ),
    Mutation(
        "a new term is shown before it is durable", "state.py", "if self.disk.durable_term == self.term:", "if True:"
    ),
    Mutation(
        "read without quorum", "reads.py", "    confirmed = agreed(", "    confirmed = state.reads.round or agreed("
    ),
    Mutation(
        "read before the noop commits",
        "reads.py",
        "    if state.log.term_at(state.commit) != state.term:\n        return False\n",
        "",
    ),
    Mutation(
        "read joins a sent round",
        "reads.py",
        "    if not (lead.reads_waiting or lead.reads_of_peers) or (lead.read_rounds and not also_in_flight):\n"
        "        return False\n",
        "    if lead.reads_waiting and lead.read_rounds:\n"
        "        last = lead.read_rounds.pop()\n"
        "        lead.read_rounds.append(ReadRound(last.number, last.index, (*last.units, *lead.reads_waiting)))\n"
        "        lead.reads_waiting.clear()\n"
        "    if not (lead.reads_waiting or lead.reads_of_peers):\n        return False\n",
    ),
    Mutation(
        "echoes of another boot count",
        "replication.py",
        "context.node == state.identity.name and context.boot == state.identity.boot:",
        "context.node == state.identity.name:",
    ),
    Mutation(
        "any heartbeat answer confirms reads",
        "replication.py",
        "    behind = progress.match < state.log.last_index\n",
        "    progress.read_acked = state.reads.round\n    behind = progress.match < state.log.last_index\n",
    ),
    Mutation("read before it is applied", "reads.py", "        if index <= state.applied:", "        if True:"),
    Mutation(
        "asking again disowns the first question",
        "reads.py",
        "    state.reads.asked_again_us = now\n",
        "    state.reads.asked_again_us = now\n"
        "    state.reads.asked = {state.reads.number + 1: read for read in state.reads.asked.values()}\n",
    ),
    Mutation(
        "an answer covers later reads",
        "reads.py",
        "takewhile(lambda number: number <= context.number, asked)",
        "takewhile(lambda number: True, asked)",
    ),
    Mutation(
        "reads survive a change of leader",
        "roles.py",
        "        state.reads.asked.clear()\n",
        "",
    ),
    Mutation(
        "an unconfirmed read is forgotten, not refused",
        "roles.py",
        '        state.effects.append(Refused(lost, NotLeader("")))',
        "        pass",
    ),
    Mutation(
        "birth without all seeds",
        "birth.py",
        "    return all(member == state.me or member in",
        "    return any(member == state.me or member in",
    ),
    Mutation(
        "birth of differing views",
        "birth.py",
        "    if says != view.encode():",
        "    if False:",
    ),
    Mutation(
        "agreement is dated at its receipt",
        "birth.py",
        "    elif not message.answer and message.challenge == _challenge(state):",
        "    else:",
    ),
    Mutation(
        "a question is an agreement",
        "birth.py",
        "    elif not message.answer and message",
        "    elif message",
    ),
    Mutation(
        "agreements outlive the view",
        "birth.py",
        "        state.birth.agreed.clear()",
        "        pass",
    ),
    Mutation(
        "the own view may change unseen",
        "birth.py",
        "    _see(state, now)  # before",
        "    # before",
    ),
    Mutation(
        "one that was born is enough at once",
        "birth.py",
        "    if now - birth.began_us >= max(HELD_UP_US_MIN, HELD_UP_HEARTBEATS * state.settings.heartbeat_us):",
        "    if True:",
    ),
    Mutation(
        "join a birth although another set was agreed to",
        "birth.py",
        "    if _agreed_otherwise(state, data) or other_births:",
        "    if other_births:",
    ),
    Mutation(
        "join a birth although another was born of another set",
        "birth.py",
        "    if _agreed_otherwise(state, data) or other_births:",
        "    if _agreed_otherwise(state, data):",
    ),
    Mutation(
        "tell of a birth that a crash can undo",
        "birth.py",
        "    if state.birth_token is not None:\n        state.send(sender.name, _say(state, born_with",
        "    if False:\n        state.send(sender.name, _say(state, born_with",
    ),
    Mutation(
        "agree although one was born",
        "birth.py",
        "        view = Configuration(())",
        "        pass",
    ),
    Mutation(
        "fewer than a majority vouch for a birth",
        "birth.py",
        "witnesses >= majority(len(view.voters)):",
        "witnesses >= majority(len(view.voters)) - 1:",
    ),
    Mutation(
        "believe anybody's word of an address",
        "birth.py",
        "message.address.name != sender.name:",
        "False:",
    ),
    Mutation(
        "a silent seed still agrees",
        "birth.py",
        "if heard is None or now - heard.at_us > FRESH_HEARTBEATS * state.settings.heartbeat_us:",
        "if heard is None:",
    ),
    Mutation(
        "two disks of one name",
        "birth.py",
        " or _known_by_another_disk(state, sender, now):",
        ":",
    ),
    Mutation(
        "proposals during a hand-over",
        "replication.py",
        "    if state.transfer is not None:\n",
        "    if False and state.transfer is not None:\n",
    ),
    Mutation(
        "hand over to one that lags",
        "transfer.py",
        "not transfer.told and progress.match == state.log.last_index:",
        "not transfer.told:",
    ),
    Mutation(
        "a hand-over never ends",
        "core.py",
        "        if state.transfer is not None and now >= state.transfer.due_us:",
        "        if state.transfer is not None and now < 0:",
    ),
    Mutation(
        "anybody may say timeout now",
        "transfer.py",
        "    if state.leader == sender.name and state.role is Role.FOLLOWER",
        "    if state.role is Role.FOLLOWER",
    ),
    Mutation(
        "the target asks as any candidate",
        "election.py",
        "_ask_for_votes(state, transfer=True)",
        "_ask_for_votes(state, transfer=False)",
    ),
    Mutation(
        "a forced timeout skips the pre-vote",
        "transfer.py",
        "    election.campaign(state, now)\n",
        "    election.campaign_at_once(state, now, '')\n",
    ),
    Mutation(
        "any leader is the target",
        "transfer.py",
        "_end(state, state.leader == target.name,",
        "_end(state, True,",
    ),
    Mutation(
        "agree to a birth while waiting",
        "birth.py",
        "    if state.waits_in_initial and not state.born:",
        "    if False and not state.born:",
    ),
    Mutation(
        "a command goes round birth",
        "transfer.py",
        "    if state.born:\n        become_follower(",
        "    if True:\n        become_follower(",
    ),
    Mutation(
        "waiting is not waiting",
        "core.py",
        "            if not state.waits_in_initial:\n",
        "            if True:\n",
    ),
    Mutation(
        "take any born configuration",
        "birth.py",
        "    return state.me in configuration.voters and names",
        "    return names",
    ),
    Mutation(
        "take part before the birth is durable",
        "receiving.py",
        "    if state.role is Role.INITIAL:\n        birth.on_invitation",
        "    if state.role is Role.INITIAL and state.birth_token is None:\n        birth.on_invitation",
    ),
    Mutation(
        "a wiped disk is the old member",
        "receiving.py",
        "    if sender in state.peers:",
        "    if sender.name in [peer.name for peer in state.peers]:",
    ),
    Mutation(
        "a stranger counts as contact",
        "receiving.py",
        "    if isinstance(message, Birth):\n",
        "    state.last_heard[sender.name] = now\n    if isinstance(message, Birth):\n",
    ),
    Mutation(
        "a base is no birth",
        "state.py",
        "return bool(self.log.base.cluster_id)",
        "return bool(self.log.first_index == 1 and self.log.last_index)",
    ),
    Mutation("the commit index begins below the base", "state.py", "max(hard.commit, self.applied)", "hard.commit"),
    Mutation(
        "what the base holds is applied again",
        "state.py",
        "self.applying = self.applied\n",
        "self.applying = hard.commit\n",
    ),
    Mutation(
        "log time begins anew after a base",
        "log.py",
        "if self._entries else self.base.time_us",
        "if self._entries else 0",
    ),
    Mutation(
        "what lies before the base could match",
        "log.py",
        "        return max(0, min(index, self.base.index - 1)), 0",
        "        return self.base.index, self.base.term",
    ),
    Mutation(
        "any acknowledgement ends the wait for a snapshot",
        "progress.py",
        "self.state is ProgressState.SNAPSHOT and index >= self._snapshot_index:",
        "self.state is ProgressState.SNAPSHOT:",
    ),
    Mutation(
        "the wait for a snapshot never ends",
        "progress.py",
        "self.state is ProgressState.SNAPSHOT and index >= self._snapshot_index:",
        "False:",
    ),
    Mutation(
        "a heartbeat's answer ends the wait for a snapshot",
        "progress.py",
        "        if self.state is ProgressState.SNAPSHOT:\n            return False\n        stalled",
        "        stalled",
    ),
    Mutation(
        "a later configuration is told as the birth",
        "birth.py",
        "    data = state.log.base.birth\n",
        "    data = state.log.base.configuration.encode()\n",
    ),
    Mutation(
        "who was born says no more how it is reached",
        "birth.py",
        "challenge=challenge, address=address, invited=invited)",
        "challenge=challenge, invited=invited)",
    ),
    Mutation(
        "a configuration counts when it is committed",
        "membership.py",
        "    configuration = state.log.configuration\n",
        "    committed = state.commit == state.log.last_index\n"
        "    configuration = state.log.configuration if committed else state.configuration\n",
    ),
    Mutation(
        "a truncated configuration stays in force",
        "membership.py",
        "    state.disk.truncated(index)\n    adopt(state, now)\n",
        "    state.disk.truncated(index)\n",
    ),
    Mutation(
        "a truncated configuration stays in the log's list",
        "log.py",
        "self._configurations[-1][0] >= index:",
        "self._configurations[-1][0] > index:",
    ),
    Mutation(
        "a leader does not follow its own change",
        "membership.py",
        "    if state.leadership is not None:",
        "    if False and state.leadership is not None:",
    ),
    Mutation(
        "a new disk inherits what the old one acknowledged",
        "leadership.py",
        "peer: self.progress.get(peer) or Progress(",
        "peer: next((old for known, old in self.progress.items() if known.name == peer.name), None) or Progress(",
    ),
    Mutation(
        "a removed leader counts itself",
        "leadership.py",
        "        return values",
        "        return values if me in voters else [*values, own]",
    ),
    Mutation("a removed server campaigns", "election.py", "    if not state.may_campaign:\n", "    if False:\n"),
    Mutation(
        "who has the entry of its own removal alone never campaigns",
        "election.py",
        "    if not state.may_campaign:\n",
        "    if not state.is_voter:\n",
    ),
    Mutation(
        "who left is not told that this is committed",
        "membership.py",
        "            if peer not in staying:",
        "            if False:",
    ),
    Mutation(
        "a learner campaigns while a change is not committed",
        "state.py",
        "self.commit and self.me in self.log.configuration_at(known).voters",
        "self.commit",
    ),
    Mutation(
        "a step has no budget",
        "replication.py",
        "            if lead.budget.spent:\n                lead.put_off",
        "            if False:\n                lead.put_off",
    ),
    Mutation(
        "what a step did not send is forgotten",
        "leadership.py",
        "            self._first = list(self.progress).index(peer) + 1\n        self.unfinished = True",
        "            self._first = list(self.progress).index(peer) + 1",
    ),
    Mutation(
        "the first follower always comes first",
        "leadership.py",
        "list(self.progress).index(peer) + 1",
        "0",
    ),
    Mutation("the budget is for ever", "replication.py", "    lead.budget.renew()\n", ""),
    Mutation(
        "answers of followers go round the budget",
        "replication.py",
        "    if asks and not lead.budget.spent:",
        "    if asks:",
    ),
    Mutation(
        "refusals go round the budget",
        "replication.py",
        "could_match + 1) and not lead.budget.spent:",
        "could_match + 1):",
    ),
    Mutation(
        "an empty Append costs nothing", "leadership.py", "self._entries -= max(1, entries)", "self._entries -= entries"
    ),
    Mutation(
        "an Append is not bounded in entries",
        "replication.py",
        "settings.append_bytes_max, settings.append_entries_max",
        "settings.append_bytes_max",
    ),
    Mutation(
        "an Apply is not bounded in entries",
        "core.py",
        "state.settings.apply_bytes_max, state.settings.apply_entries_max",
        "state.settings.apply_bytes_max",
    ),
    Mutation(
        "uncommitted entries are not counted",
        "replication.py",
        "        if index - state.commit >= settings.uncommitted_entries_max:",
        "        if False:",
    ),
    Mutation(
        "a hint walks a term",
        "log.py",
        "            found = bisect_right(self._entries, term, 0, kept, key=_term_of)\n",
        "            found = kept\n"
        "            while found and self._entries[found - 1].term > term:\n"
        "                found -= 1\n",
    ),
    Mutation("no log limit", "replication.py", "log_bytes + size_bytes > settings.log_bytes_max:", "False:"),
    Mutation(
        "no uncommitted limit",
        "replication.py",
        "waiting_bytes + size_bytes > settings.uncommitted_bytes_max and waiting_bytes:",
        "False:",
    ),
    Mutation(
        "a noop repeats an old time",
        "replication.py",
        ', b"", lead.log_time_us(now)),), now)',
        ', b"", 0),), now)',
    ),
    Mutation(
        "log time runs backwards",
        "leadership.py",
        "        self._time_us = last_time_us - now",
        "        self._time_us = -now",
    ),
    Mutation("log time is the machine's", "leadership.py", "        return self._time_us + now", "        return now"),
    Mutation(
        "log time stands still in an idle cluster",
        "state.py",
        "        return self.log.last_time_us if self.leadership is None else self.leadership.log_time_us(now)",
        "        return self.log.last_time_us",
    ),
    Mutation(
        "a leader with a silent disk leads on",
        "core.py",
        "        if state.leadership is not None and state.disk_is_silent(now):",
        "        if False:",
    ),
    Mutation(
        "nobody wakes a leader whose disk is silent",
        "state.py",
        "        if self.leadership is None or since_us is None:",
        "        if True or since_us is None:",
    ),
    Mutation(
        "a slow disk counts as silent",
        "disk.py",
        "        return max(self._outstanding[0].since_us, self._answered_us) if",
        "        return self._outstanding[0].since_us if",
    ),
    Mutation(
        "campaign with a silent disk",
        "election.py",
        "    elif state.disk_is_silent(now):",
        "    elif False:",
    ),
    Mutation(
        "a won pre-vote goes on with a silent disk",
        "election.py",
        "    if state.disk_is_silent(now):\n        _stand_back(state, now)\n        return\n",
        "",
    ),
    Mutation(
        "take over with a silent disk",
        "transfer.py",
        "    able = state.is_voter and not state.disk_is_silent(now)",
        "    able = state.is_voter",
    ),
    Mutation(
        "obey an order to campaign with a silent disk",
        "transfer.py",
        "    if state.disk_is_silent(now):",
        "    if False:",
    ),
    Mutation(
        "start a read round before the one before is confirmed",
        "reads.py",
        "    confirm_rounds(state, lead)\n    if start_round(state, lead):",
        "    if start_round(state, lead) or True:",
    ),
    Mutation(
        "one who is alone waits for others to confirm a read",
        "reads.py",
        "        confirm_rounds(state, lead)  # a server",
        "        pass  # a server",
    ),
    Mutation(
        "an older question of a follower replaces a newer one",
        "reads.py",
        " or before.boot != context.boot or before.number < context.number:",
        " or True:",
    ),
    Mutation(
        "a new process of a follower may not ask",
        "reads.py",
        " or before.boot != context.boot or before",
        " or before",
    ),
    Mutation(
        "reads that ran out stay with the leader",
        "reads.py",
        "    if lead is not None:\n        lead.reads",
        "    if False:\n        lead.reads",
    ),
    Mutation(
        "reads that ran out stay asked",
        "reads.py",
        "        if not rest:\n            del",
        "        if False:\n            del",
    ),
    Mutation(
        "reads that ran out stay confirmed",
        "reads.py",
        "    reads.confirmed = [(index, rest) for index, of in reads.confirmed if (rest := left(of))]",
        "    pass",
    ),
    Mutation(
        "acknowledge a snapshot before its base is durable",
        "following.py",
        "    state.send_when_durable(sender.name, AppendReply(state.term, True, state.commit))",
        "    state.send(sender.name, AppendReply(state.term, True, state.commit))",
    ),
    Mutation(
        "throw away a log that the snapshot continues into",
        "following.py",
        "        if state.log.term_at(base.index) == base.term:",
        "        if False:",
    ),
    Mutation(
        "keep a log whose entry at the base is another",
        "following.py",
        "        if state.log.term_at(base.index) == base.term:",
        "        if state.log.term_at(base.index) is not None:",
    ),
    Mutation(
        "put an old snapshot in the place of a longer log",
        "following.py",
        "    if base.index > state.commit and state.role is not Role.LEADER:",
        "    if state.role is not Role.LEADER:",
    ),
    Mutation(
        "take a snapshot as a leader",
        "following.py",
        "    if base.index > state.commit and state.role is not Role.LEADER:",
        "    if base.index > state.commit:",
    ),
    Mutation(
        "take a snapshot of another cluster",
        "receiving.py",
        "    if sender.name == state.identity.name or base.cluster_id != state.cluster_id:",
        "    if sender.name == state.identity.name:",
    ),
    Mutation(
        "do not restore the state that replaced the log",
        "membership.py",
        "    state.effects.append(Restore(base))",
        "    state.applied = base.index",
    ),
    Mutation(
        "go on applying before the snapshot is restored",
        "membership.py",
        "    state.commit = state.applying = base.index",
        "    state.commit = state.applying = state.applied = base.index",
    ),
    Mutation(
        "forget the members of the snapshot",
        "membership.py",
        "    state.effects.append(Restore(base))\n    adopt(state, now)",
        "    state.effects.append(Restore(base))",
    ),
    Mutation(
        "write the entries after a snapshot without its base",
        "disk.py",
        "        self._base = base\n",
        "",
    ),
    Mutation(
        "let an old write vouch for the log after a snapshot",
        "disk.py",
        "            write.last_index = min(write.last_index, base.index - 1)",
        "            pass",
    ),
    Mutation(
        "call durable what the snapshot replaced",
        "disk.py",
        "        self.durable = min(self.durable, base.index - 1)",
        "",
    ),
    Mutation(
        "truncate the log that a snapshot has replaced",
        "disk.py",
        "        self._submitted_last = base.index\n        self._truncate_from = None",
        "        self._submitted_last = base.index",
    ),
    Mutation(
        "compact without a bound",
        "log.py",
        "        last = min(index, self.base.index + entries_max)",
        "        last = index",
    ),
    Mutation(
        "forget the configuration that compaction removed",
        "log.py",
        "        return self._configurations[position - 1][1] if position else self.base.configuration",
        "        return self.base.configuration",
    ),
    Mutation(
        "take a later configuration into the base",
        "log.py",
        "        position = bisect_right(self._configurations, index, key=_index_of)",
        "        position = len(self._configurations)",
    ),
    Mutation(
        "count what compaction removed",
        "log.py",
        "        self._gone_bytes = self._ends[count - 1]",
        "        self._gone_bytes = 0",
    ),
    Mutation(
        "keep the configurations that compaction removed",
        "log.py",
        "        while self._configurations and self._configurations[0][0] <= last:",
        "        while False:",
    ),
    Mutation(
        "forget the birth with the first entry",
        "log.py",
        "        return Base(index, entry.term, entry.time_us, known, self.base.cluster_id, self.base.birth)",
        "        return Base(index, entry.term, entry.time_us, known, self.base.cluster_id)",
    ),
    Mutation(
        "apply again what a snapshot held at the start",
        "state.py",
        "        self.applied = max(applied, base.index)",
        "        self.applied = base.index",
    ),
    Mutation(
        "leave the rest of a compaction undone",
        "core.py",
        "(lead is not None and lead.unfinished) or state.may_compact",
        "(lead is not None and lead.unfinished)",
    ),
    Mutation(
        "change members before the no-op is committed",
        "changes.py",
        "    if state.log.term_at(state.commit) != state.term:",
        "    if False:",
    ),
    Mutation(
        "change members while a change is under way",
        "changes.py",
        "    if state.log.configuration_index > state.commit:",
        "    if False:",
    ),
    Mutation(
        "promote whoever is a learner",
        "changes.py",
        "    if progress.state is not ProgressState.REPLICATE or behind > CAUGHT_UP_ENTRIES:",
        "    if False:",
    ),
    Mutation(
        "remove a voter that leaves no living quorum",
        "changes.py",
        "    if len(wanted.voters) - len(silent) < needed:",
        "    if False:",
    ),
    Mutation(
        "say that a change is done before it is committed",
        "changes.py",
        "    if state.commit >= change.index:",
        "    if True:",
    ),
    Mutation(
        "say that another leader's change is this one",
        "changes.py",
        "        done = term == change.term",
        "        done = True",
    ),
    Mutation(
        "let a new disk keep the old one's vote",
        "changes.py",
        "            return configuration.without(before).with_learner(after, address), f",
        "            return configuration.without(before).with_learner(after, address).promoted(after), f",
    ),
    Mutation(
        "remove the only voter",
        "changes.py",
        "            if configuration.voters == (member,):",
        "            if False:",
    ),
    Mutation(
        "add a learner under the name of another disk",
        "changes.py",
        "    if before is not None:\n        raise",
        "    if False:\n        raise",
    ),
    Mutation(
        "a removed leader leads on",
        "transfer.py",
        "    if lead is None or not state.settled or state.is_voter:",
        "    if True:",
    ),
    Mutation(
        "a removed leader leaves before its removal is committed",
        "transfer.py",
        "    if lead is None or not state.settled or state.is_voter:",
        "    if lead is None or state.is_voter:",
    ),
    Mutation(
        "a removed leader names no successor",
        "transfer.py",
        "    if lead.progress[target].match == state.log.last_index:\n        state.send",
        "    if False:\n        state.send",
    ),
    Mutation(
        "who leaves never hears of it",
        "membership.py",
        "    state.peers = _others(state, (*configuration.members, *leaving))",
        "    state.peers = _others(state, configuration.members)",
    ),
    Mutation(
        "who left gets the log for ever",
        "membership.py",
        "    _follow(state, (), now)\n\n",
        "    pass\n\n",
    ),
    Mutation(
        "a vote for a name is for every disk of it",
        "types.py",
        "    return vote in (ballot(candidate), candidate.name)",
        "    return voted_for(vote) == candidate.name",
    ),
    Mutation(
        "turn away a leader that was let in later",
        "receiving.py",
        "    elif sender.name == state.identity.name or not isinstance(message, _OF_ANYBODY):",
        "    else:",
    ),
    Mutation(
        "count answers of strangers",
        "receiving.py",
        "    elif sender.name == state.identity.name or not isinstance(message, _OF_ANYBODY):",
        "    elif sender.name == state.identity.name:",
    ),
    Mutation(
        "take the log of a cluster that has not let this disk in",
        "birth.py",
        "    if not state.invited or state.waits_in_initial or state.birth_token is not None:",
        "    if state.waits_in_initial or state.birth_token is not None:",
    ),
    Mutation(
        "leave the leader's heartbeat to a disk that was let in without an answer",
        "birth.py",
        "        state.send(sender.name, HeartbeatReply(message.term))",
        "        pass",
    ),
    Mutation(
        "take the snapshot of a cluster that has not let this disk in",
        "birth.py",
        "    if not state.invited or state.birth_token is not None or state.waits_in_initial:",
        "    if state.birth_token is not None or state.waits_in_initial:",
    ),
    Mutation(
        "invite whoever asks",
        "birth.py",
        "    invited = state.settled and sender in state.configuration.members and sender not in born_with.voters",
        "    invited = sender not in born_with.voters",
    ),
    Mutation(
        "invite before the change is committed",
        "birth.py",
        "    invited = state.settled and sender in",
        "    invited = sender in",
    ),
    Mutation(
        "count a learner",
        "replication.py",
        "held = lead.by_voter(state.configuration.voters, state.me, state.disk.durable",
        "held = lead.by_voter(state.configuration.members, state.me, state.disk.durable",
    ),
    Mutation(
        "count a learner's vote",
        "quorum.py",
        "granted = sum(1 for voter in voters if votes.get(voter) is True)",
        "granted = sum(1 for vote in votes.values() if vote is True)",
    ),
    Mutation(
        "a learner that answers keeps a leader in the lead",
        "election.py",
        "    voters = state.configuration.voters\n    contacts",
        "    voters = state.configuration.members\n    contacts",
    ),
    Mutation(
        "tell who was removed before that is committed",
        "election.py",
        "    if not state.settled or sender in state.configuration.members:",
        "    if sender in state.configuration.members:",
    ),
    Mutation(
        "tell a member that it was removed",
        "election.py",
        "    if not state.settled or sender in state.configuration.members:",
        "    if not state.settled:",
    ),
    Mutation(
        "believe any word that it was removed",
        "state.py",
        "return bool(self.told_out[1]) and self.told_out > self.log.configuration_position",
        "return bool(self.told_out[1])",
    ),
    Mutation(
        "a later index is later, whatever its term",
        "log.py",
        "        return self.term_at(index) or 0, index",
        "        return 0, index",
    ),
    Mutation(
        "who was removed campaigns for its own change",
        "state.py",
        "        if self.is_voter or self.left_out:",
        "        if self.is_voter:",
    ),
    Mutation(
        "who was removed is told in the newest term only",
        "receiving.py",
        "isinstance(message, PreVoteReply) and message.out_index:",
        "isinstance(message, PreVoteReply) and message.out_index and message.term >= state.term:",
    ),
    Mutation(
        "who was removed goes on asking",
        "election.py",
        "    if state.role in (Role.PRE_CANDIDATE, Role.CANDIDATE):\n        become_follower(",
        "    if state.role is Role.LEADER:\n        become_follower(",
    ),
    Mutation(
        "remember every applicant for ever",
        "birth.py",
        "    while len(state.applicants) >= APPLICANTS_MAX:",
        "    while False:",
    ),
)

QUICK_EVERY = 12
"""The default test run takes every twelfth mutation, always the same ones."""


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    examples = [path.name for path in sorted(HERE.glob("test_*.py")) if path.stem not in LAST]
    return passes(mutation, ROOM, "tests/raft", [*examples, *(f"{name}.py" for name in RANDOM)])


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
