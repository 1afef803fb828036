"""`raft-node members fit`: bring the members to a list of names, one committed change at a time.

Why it exists: whoever starts and ends processes by a number (a StatefulSet) must not change the quorum by it. Before a
rollout this command sees to it that nobody is ended whom a majority still needs, and takes out who is to go; after it,
it lets in who came. It wishes only what an operator could, and the leader refuses it alike. It must not know
Kubernetes: of the names, a rollout comes to the last first.

Who was taken out and is named again comes back with the disk that it left with; nothing of it is thrown away. A removed
server that remembers its term, its vote and its log is to Raft the server that it was, only late: what it voted for it
still knows, what it acknowledged it still has, and entries that were never committed give way to the leader's as ever
(section 5.3). So it is added as any server is (thesis 4.1), by an entry that is later than its removal, whether it
has heard of that or not; and as a learner, which counts nowhere while it catches up (4.2.1). What must never come back
under its number is a disk that forgot any of these: that one is a new member (`node/raft/birth.py`).

A list may be an old one. Where a number is changed twice, the command with the first list may still run when the pods
of the second are there, and a leader that comes at last would have them removed. So after a rollout (`--after-rollout`)
nobody is taken out who still runs, as the leader hears: whoever is to go has been ended by then, and whoever runs is in
somebody's list.

Nor does anybody come back unasked. A removed server disturbs nobody (4.2.3), and it was removed by somebody: that its
process runs, as after `kubectl scale`, is nobody's wish to have it back, while a list that names it is one. Hence it is
no applicant, `auto_members` does not let it in, and only this command and `members add` do.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from node.cli import identity
from node.cli.changing import Found, change, look
from node.cli.failure import FAILED, UNAVAILABLE, UNKNOWN_OUTCOME, USAGE, Failure, ShutOut
from node.cli.rollout import gone, now, require_time_for_a_rollout, rest, states
from node.cli.show import print_object
from node.cli.targets import DataDirOption, targets

LOOK_SECONDS = 0.5
SHUT_OUT_SECONDS_MAX = 20.0
"""Whoever asks with the wrong token or certificate is not let in later either, but where the nodes are yet to be given
theirs. A Job tries again, in a pod that has what its Secret holds by then: with its four tries and the waits between
them it outlasts the two minutes in which a kubelet sees that a Secret has changed."""
SILENT_MS = 5_000
"""A voter that was not heard for so long goes before one that was: it is of no use already."""


def fit(
    names: Annotated[str, typer.Option("--names", metavar="NAME,...", help="who shall belong, and nobody else")],
    url: Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="nodes to ask")] = None,
    data_dir: DataDirOption = None,
    before_rollout: Annotated[
        bool,
        typer.Option(
            "--before-rollout",
            help="only take out; refuse while a voter that stays is not ready, but for the last of NAME,...: that is "
            "replaced first",
        ),
    ] = False,
    after_rollout: Annotated[
        bool,
        typer.Option(
            "--after-rollout",
            help=f"take out only who has ended: whom the leader has not been hearing for {SILENT_MS // 1000} s",
        ),
    ] = False,
    override: Annotated[
        str,
        typer.Option(
            "--override", metavar="TEXT", help="how to go on all the same: said with a refusal", show_default=False
        ),
    ] = "",
    within: Annotated[
        int,
        typer.Option("--within", metavar="SECONDS", min=1, max=86_400, help="then give up, and say why"),
    ] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="for programs: one JSON object")] = False,
) -> int:
    """Let in who is named and asks, take out who is not, one at a time.

    [bold]Examples[/bold]
      raft-node members fit --names n1,n2,n3,n4,n5
      raft-node members fit --names n1,n2,n3 --before-rollout
    """
    wanted = list(dict.fromkeys(name for name in map(str.strip, names.split(",")) if name))
    if not wanted:
        raise Failure("--names is empty: somebody must be left.", USAGE)
    if before_rollout and after_rollout:
        raise Failure("A rollout has begun or it has not: give --before-rollout or --after-rollout, not both.", USAGE)
    nodes = dict(targets(url or [], data_dir))
    ends_at = now() + within
    if before_rollout and gone(nodes):  # asked first: before a cluster is made its certificates need not be there
        _tell("Nobody runs: there is no quorum to be lost.", as_json)
        return _end([], as_json)
    try:
        identity.use_now()
        if before_rollout and (notice := require_time_for_a_rollout(nodes, wanted, ends_at)):
            _tell(notice, as_json)
        fitting = Fitting(wanted, before_rollout, after_rollout, {})
        return _end(_fit(nodes, fitting, ends_at, as_json), as_json)
    except Failure as failure:
        if not override:
            raise
        raise Failure(f"{failure} {override}", failure.code) from None


def _tell(sentence: str, as_json: bool) -> None:
    if not as_json:
        print(sentence, flush=True)


def _end(voters: list[str], as_json: bool) -> int:
    if as_json:
        print_object({"voters": voters})
    elif voters:
        print(f"The voters are {', '.join(voters)}.")
    return 0


class Fitting(NamedTuple):
    """What is wished. `only_out`: nobody is let in; `only_ended`: nobody is taken out who runs. `quiet_since`: whom the
    leader has not been hearing since when, as this command saw it."""

    wanted: Sequence[str]
    only_out: bool
    only_ended: bool
    quiet_since: dict[str, float]


def _fit(nodes: dict[str, str], fitting: Fitting, ends_at: float, as_json: bool) -> list[str]:
    """The voters in the end."""
    missing, said, gives_up_at = "", "", ends_at
    while True:
        try:
            found = look(nodes)
            step, missing = _next(found, fitting)
            if step is None and not missing:
                return [str(voter["name"]) for voter in found.members["voters"]]
            if step is not None:
                if step[0] == "remove_member":
                    _require_quorum_after(found.members, nodes, fitting.wanted)
                if step in _coming_back(found):
                    _tell(f"{step[1]} was a member before, and comes back with its data.", as_json)
                change(step[0], step[1], {}, list(nodes), None, as_json, silent=as_json)
                if now() < ends_at:
                    gives_up_at = ends_at
                    continue
                missing = f"{step[1]} was the last for whom there was time."
            gives_up_at = ends_at
        except Failure as failure:
            if failure.code not in (FAILED, UNAVAILABLE, UNKNOWN_OUTCOME):
                raise
            missing = str(failure)
            shut_out = isinstance(failure, ShutOut)
            gives_up_at = min(gives_up_at, now() + SHUT_OUT_SECONDS_MAX) if shut_out else ends_at
        if now() >= gives_up_at:
            raise Failure(f"Not done: {missing}", FAILED)
        if missing != said:
            _tell(f"Waiting: {missing}", as_json)
            said = missing
        rest(LOOK_SECONDS)


def _next(found: Found, fitting: Fitting) -> tuple[tuple[str, str] | None, str]:
    """The next change (command, name), or what there is to wait for; neither where all is as it should be."""
    body, wanted, only_out = found.members, fitting.wanted, fitting.only_out
    voters, learners = ([row["name"] for row in body[kind]] for kind in ("voters", "learners"))
    if not voters:
        return None, "" if only_out else "the cluster is not born yet."
    if body["changing"]:
        return None, "a change of members is under way."
    if not only_out:
        for name in wanted:
            if name in learners:
                return ("promote_learner", name), ""
        asking = [("add_learner", row["name"]) for row in body["applicants"] if not row["replaces"]]
        away = [name for name in wanted if name not in voters]
        for name in away:
            if ("add_learner", name) in (*asking, *_coming_back(found)):
                return ("add_learner", name), ""
        if away:
            return None, _who_is_away(away, found)
    leaving = [row for row in (*body["learners"], *body["voters"]) if row["name"] not in wanted]
    if not leaving:
        return None, ""
    if fitting.only_ended and (running := _still_running(body, leaving, fitting.quiet_since)):
        return None, f"{', '.join(running)} must end first, or be of a newer list than this one."
    first = min(leaving, key=lambda row: (row["leader"], row["name"] in voters, not _silent(row), _descending(row)))
    return ("remove_member", first["name"]), ""


def _coming_back(found: Found) -> list[tuple[str, str]]:
    """How those are let in that left, and answer."""
    return [("add_learner", str(one["name"])) for one in found.left]


def _who_is_away(away: Sequence[str], found: Found) -> str:
    foreign = [name for name in away if name in found.foreign]
    if foreign:
        return f"{', '.join(foreign)} must come on an empty disk: the one that is there is of another cluster."
    return f"{', '.join(away)} must come and ask to be let in, on an empty disk or on the one that it left with."


def _still_running(
    body: Mapping[str, Any], leaving: Sequence[Mapping[str, Any]], quiet_since: dict[str, float]
) -> list[str]:
    """Those who may be. The leader alone hears everybody, and one that has just come heard nobody yet: so what it does
    not hear is watched for as long again."""
    present, of_leader = now(), body["leader"] == body["node"]
    for row in leaving:
        if of_leader and _silent(row):
            quiet_since.setdefault(row["name"], present)
        else:
            quiet_since.pop(row["name"], None)
    return [row["name"] for row in leaving if present - quiet_since.get(row["name"], present) < SILENT_MS / 1000]


def _silent(row: Mapping[str, Any]) -> bool:
    return not row["leader"] and (row["last_contact_ms"] is None or row["last_contact_ms"] > SILENT_MS)


def _descending(row: Mapping[str, Any]) -> int:
    """The highest number first, as a StatefulSet ends its pods."""
    number = str(row["name"]).rpartition("-")[2]
    return -int(number) if number.isdecimal() else 0


def _require_quorum_after(body: Mapping[str, Any], nodes: Mapping[str, str], wanted: Sequence[str]) -> None:
    """Before the first goes: those that are left in the end must be able to decide."""
    staying = [voter for voter in body["voters"] if voter["name"] in wanted]
    if not staying:
        raise Failure(
            f"Refused: none of {', '.join(wanted)} is a voter, so nobody would be left. Nothing was changed.", USAGE
        )
    found = states(staying, nodes)
    silent = [name for name, state in found.items() if not state.answers]
    needed = len(staying) // 2 + 1
    if len(staying) - len(silent) < needed:
        raise Failure(
            f"Refused: of {', '.join(found)} {needed} must answer to be a quorum, and {', '.join(silent)} "
            f"{'does' if len(silent) == 1 else 'do'} not: bring {'it' if len(silent) == 1 else 'them'} back first.",
            FAILED,
        )
