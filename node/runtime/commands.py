"""The commands of a node, faults included: one table, from which the API's list, all checks, the README's list and the
page's words for faults are made.

Why it exists: a command may come from HTTP, from the command line or over a peer link, and must mean the same and be
refused alike. It must not carry anything out: see commanding.py and the core's `transfer.py`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from node.raft.events import (
    AddLearner,
    Campaign,
    ForceTimeout,
    LeaveInitial,
    MemberChange,
    Order,
    Promote,
    Readdress,
    Remove,
    Replace,
    TransferLeadership,
)
from node.raft.types import Member, MemberAddress

FAULT_SECONDS_DEFAULT = 30.0
FAULT_SECONDS_MIN = 0.1
FAULT_SECONDS_MAX = 600.0
"""Every fault ends by itself."""
DELAY_MS_MAX = 60_000

TEXT_CHARS_MAX = 253
"""The longest text argument: a name."""

Value = str | int | float
Values = Mapping[str, Value]


class BadArgument(Exception):
    """An argument is unknown, missing or impossible; the message is one sentence."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Argument(msgspec.Struct, frozen=True):
    """`default` None: required, or (where `required` is false) empty. `low` and `high` bound numbers."""

    name: str
    type: Literal["text", "number", "choice"]
    help: str
    required: bool = False
    default: Value | None = None
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    def read(self, value: object) -> Value:
        """The value, from JSON or from text; raises BadArgument."""
        if self.type == "number":
            return self._number(value)
        if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX or not value.isprintable():
            raise BadArgument(self.name, f"{self.name} is a text of at most {TEXT_CHARS_MAX} printable characters")
        if self.type == "choice" and value not in self.choices:
            raise BadArgument(self.name, f"{self.name} is one of: {', '.join(self.choices)}")
        if self.required and not value:
            raise BadArgument(self.name, f"{self.name} is empty")
        return value

    def _number(self, value: object) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not self.low <= number <= self.high:  # NaN is neither
            raise BadArgument(self.name, f"{self.name} is a number from {self.low:g} to {self.high:g}")
        return number


class FaultSpec(msgspec.Struct, frozen=True):
    """The fault that a command begins. `kind`: its name in `/status`, events and metrics, and what
    `transport/faulty.py` knows it by. `stops`: nothing gets through while it is on.

    `effect` is said of what goes over the link, or of the node, in the answer to the command; `noun` and `note` are the
    page's: what is on, and what stands beside the link. `{value}` is the fault's number, `{s}` the plural of links.
    """

    kind: str
    effect: str
    noun: str
    note: str
    stops: bool = False


class CommandSpec(msgspec.Struct, frozen=True):
    """`changes`: it does something; otherwise it only shows. `needs_faults`: only with --enable-faults. `fault`: what
    it begins; the fault's value is the argument `ms` or `percent`, where there is one. `order`: the algorithm obeys it,
    as this event, made from the number of the request and the arguments. `of_all`: who leads, or who is a member, is
    another afterwards. `unled`: it is how a leader comes to be, so it waits for none.
    `of_applicant`: what it does not say of the member of that name is what that one said when it asked to be let in."""

    name: str
    summary: str
    arguments: tuple[Argument, ...] = ()
    changes: bool = True
    needs_faults: bool = False
    fault: FaultSpec | None = None
    order: Callable[[int, Values], Order | MemberChange] | None = None
    of_all: bool = False
    unled: bool = False
    of_applicant: bool = False


_PEER = Argument("peer", "text", "the other node's name", required=True)
_DIRECTION = Argument(
    "direction",
    "choice",
    "out: what this node says to the peer; in: what the peer says to this node",
    default="both",
    choices=("in", "out", "both"),
)
_SECONDS = Argument(
    "seconds",
    "number",
    "the fault ends by itself after so long",
    default=FAULT_SECONDS_DEFAULT,
    low=FAULT_SECONDS_MIN,
    high=FAULT_SECONDS_MAX,
)

_MEMBER = Argument("name", "text", "the member's name", required=True)
_OF_APPLICANT = (
    Argument("name", "text", "its name; it must run, and ask to be let in", required=True),
    Argument("incarnation", "text", "its disk, as /members shows it; empty: of the one that asks", default=""),
    Argument("address", "text", "host:port where peers reach it; empty: as it says", default=""),
    Argument("client_url", "text", "where it serves clients; empty: as it says", default=""),
)


def _address(values: Values) -> MemberAddress | None:
    """None: not known."""
    host, _, port = str(values["address"]).rpartition(":")
    if not host:
        return None
    return MemberAddress(str(values["name"]), host.strip("[]"), int(port), str(values["client_url"]))


def _readdress(request: int, values: Values) -> Readdress:
    address = _address(values)
    if address is None:
        raise ValueError("an address is checked before it gets here")
    return Readdress(request, address)


COMMANDS: tuple[CommandSpec, ...] = (
    CommandSpec(
        "trigger_election",
        "campaign at once as the target of a hand-over does: a new term, no PreVote, nobody ignores it",
        of_all=True,
        unled=True,
        order=lambda request, _: Campaign(request),
    ),
    CommandSpec(
        "become_follower",
        "leave INITIAL the ordinary way; it cannot go round birth",
        unled=True,
        order=lambda request, _: LeaveInitial(request),
    ),
    CommandSpec(
        "force_timeout",
        "let the election timeout pass now: PreVote first, which the others may refuse",
        order=lambda request, _: ForceTimeout(request),
    ),
    CommandSpec(
        "transfer_leadership",
        "hand the lead over, once the target holds the whole log",
        (Argument("target", "text", "who shall lead; empty: the most up-to-date voter", default=""),),
        of_all=True,
        order=lambda request, values: TransferLeadership(request, str(values["target"])),
    ),
    CommandSpec(
        "add_learner",
        "let a node in that asks for it: it gets the log and has no vote yet; the leader's to do",
        _OF_APPLICANT,
        of_all=True,
        order=lambda request, values: AddLearner(
            request, Member(str(values["name"]), str(values["incarnation"])), _address(values)
        ),
        of_applicant=True,
    ),
    CommandSpec(
        "promote_learner",
        "give a learner that has caught up a vote; the leader's to do",
        (_MEMBER,),
        of_all=True,
        order=lambda request, values: Promote(request, str(values["name"])),
    ),
    CommandSpec(
        "remove_member",
        "take a member out, for good; the leader's to do, which may remove itself",
        (
            _MEMBER,
            Argument(
                "force",
                "choice",
                "yes: also where too few voters that answer would be left",
                default="no",
                choices=("no", "yes"),
            ),
        ),
        of_all=True,
        order=lambda request, values: Remove(request, str(values["name"]), values["force"] == "yes"),
    ),
    CommandSpec(
        "replace_member",
        "the member's disk is lost: the new one that asks under its name takes its place, without a vote yet; the "
        "leader's to do",
        _OF_APPLICANT,
        of_all=True,
        order=lambda request, values: Replace(
            request, str(values["name"]), str(values["incarnation"]), _address(values)
        ),
        of_applicant=True,
    ),
    CommandSpec(
        "readdress_member",
        "say where a member is reached from now on, by peers whose settings do not say it; the leader's to do",
        (
            _MEMBER,
            Argument("address", "text", "host:port where peers reach it", required=True),
            Argument("client_url", "text", "where it serves clients; empty: as before", default=""),
        ),
        of_all=True,
        order=_readdress,
    ),
    CommandSpec(
        "show_known_nodes",
        "every node as seen from this one, and where its name leads: the host as configured, its addresses when last "
        "looked up",
        changes=False,
    ),
    CommandSpec(
        "sync_known_nodes",
        "tell every node this one's view now, ask for theirs, look all names up anew, dial at once who is not linked",
    ),
    CommandSpec("check_timers", "which timers run, and when each is due", changes=False),
    CommandSpec("state_details", "everything that this node says of itself", changes=False),
    CommandSpec(
        "backup_done",
        "note that a backup of the cluster was completed just now, for the metric of its age: raft-node backup says so",
    ),
    CommandSpec(
        "reset_links",
        "drop the peer links, both directions, without goodbye, and dial anew",
        (Argument("peer", "text", "only those with this node; empty: all", default=""),),
    ),
    CommandSpec(
        "simulate_failure",
        "as if dead: everything to and from peers vanishes, clients get 503; operators still get answers",
        (_SECONDS,),
        needs_faults=True,
        fault=FaultSpec(
            "failure", "as if dead to peers and clients", "simulated failure", "failure simulated", stops=True
        ),
    ),
    CommandSpec("recover", "end every fault of this node", needs_faults=True),
    CommandSpec(
        "cut_link",
        "what goes over the link vanishes without a word",
        (_PEER, _DIRECTION, _SECONDS),
        needs_faults=True,
        fault=FaultSpec("cut", "vanishes", "cut link{s}", "cut on purpose", stops=True),
    ),
    CommandSpec("heal_link", "end every fault of the link", (_PEER, _DIRECTION), needs_faults=True),
    CommandSpec(
        "delay_link",
        "what goes over the link arrives later, in order",
        (
            _PEER,
            _DIRECTION,
            Argument("ms", "number", "how much later, in milliseconds", default=100.0, low=1, high=DELAY_MS_MAX),
            _SECONDS,
        ),
        needs_faults=True,
        fault=FaultSpec("delay", "arrives {value:g} ms later", "delay of {value} ms", "{value} ms"),
    ),
    CommandSpec(
        "drop_link",
        "a part of what goes over the link vanishes, by chance",
        (
            _PEER,
            _DIRECTION,
            Argument("percent", "number", "how much of it", default=50.0, low=1, high=100),
            _SECONDS,
        ),
        needs_faults=True,
        fault=FaultSpec("drop", "vanishes to {value:g} percent", "loss of {value} %", "{value} % lost"),
    ),
    CommandSpec(
        "corrupt_link",
        "a bit flips in a part of the frames on the link, by chance: who takes one ends the link",
        (
            _PEER,
            _DIRECTION,
            Argument("percent", "number", "how many of the frames", default=5.0, low=1, high=100),
            _SECONDS,
        ),
        needs_faults=True,
        fault=FaultSpec(
            "corrupt",
            "has a bit flipped in {value:g} percent of its frames",
            "damage to {value} % of the frames",
            "{value} % damaged",
        ),
    ),
)

ORDERS = {spec.name: spec.order for spec in COMMANDS if spec.order is not None}
"""The commands that the algorithm obeys; the others are `commanding.py`'s."""

_BY_NAME = {spec.name: spec for spec in COMMANDS}


def markdown_list() -> str:
    """All commands by name, for the README."""

    def names(needs_faults: bool) -> str:
        return ", ".join(f"`{spec.name}`" for spec in COMMANDS if spec.needs_faults == needs_faults)

    return f"Always: {names(False)}.\nOnly with `--enable-faults`: {names(True)}."


def find(name: str) -> CommandSpec | None:
    """The command of that name."""
    return _BY_NAME.get(name)


def check(spec: CommandSpec, given: Mapping[str, object]) -> dict[str, Value]:
    """Every argument of the command with its value; raises BadArgument, which names the field."""
    known = {argument.name: argument for argument in spec.arguments}
    for name in given:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise BadArgument(name[:64], f"{spec.name} has no argument {name[:64]!r}: {takes}")
    values: dict[str, Value] = {}
    for argument in spec.arguments:
        if argument.name in given:
            values[argument.name] = argument.read(given[argument.name])
        elif argument.required:
            raise BadArgument(argument.name, f"{spec.name} needs {argument.name}: {argument.help}")
        elif argument.default is not None:
            values[argument.name] = argument.default
    return values
