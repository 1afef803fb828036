"""The calls of etcd's member API: who belongs, and every change of that.

Why it exists: here a member is a name and a disk, to etcd an id and a peer URL, so each call has to find out who is
meant. A change is a command to the leader, like an operator's; whether it is allowed the core says. Who is added must
already ask to be let in: without its disk's number there is no member. It must not retry a change whose outcome is not
known.
"""

import asyncio
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from node.api.etcd import errors
from node.api.etcd.calls import EtcdCalls, Header
from node.api.etcd.errors import Code, EtcdError, invalid
from node.api.etcd.identity import member_number
from node.api.etcd.schema import Message
from node.raft.changes import Reason
from node.raft.status import ApplicantStatus, CoreStatus
from node.raft.types import Member, MemberAddress
from node.runtime.applicants import heard_applicants, host_and_port, said_of_itself
from node.runtime.ports import CommandOutcome, NodeHandle

CHANGE_S_MAX = 5.0
"""How long a change may take, a new voter's time to catch up included."""

PROMOTE_AGAIN_S = 0.1
"""Between two attempts to promote who has not caught up yet."""


PEER_URLS_MAX, PEER_URL_CHARS_MAX = 16, 1024
"""Of one request; more or longer ones are refused unread."""


class MemberView(msgspec.Struct, frozen=True):
    """A member; a URL is empty where nobody has told it."""

    id: int
    name: str
    peer_url: str
    client_url: str
    is_learner: bool


class MembersAnswer(msgspec.Struct, frozen=True):
    """All members, after the change if there was one; the header has no revision. `added`: who was let in."""

    header: Header
    members: tuple[MemberView, ...]
    added: MemberView | None = None


class MemberCalls:
    """`calls`: the other calls of the same node, which know the header and count barriers."""

    def __init__(self, handle: NodeHandle, calls: EtcdCalls) -> None:
        self._handle, self._calls = handle, calls

    async def list(self, message: Message, _message_bytes: int) -> MembersAnswer:
        """A MemberListRequest."""
        if message.get("linearizable", False):
            await self._barrier()
        await self._calls.users.require_somebody()
        return self._answer()

    async def add(self, message: Message, _message_bytes: int) -> MembersAnswer:
        """A MemberAddRequest: let in who asks for it at that peer URL; as a voter once it has caught up."""
        await self._require_root()
        reached = _hosts_and_ports(message, self._handle.status().peer_scheme)
        core = await self._now()
        if not reached.isdisjoint(map(host_and_port, core.addresses)):
            raise EtcdError(Code.FAILED_PRECONDITION, errors.PEER_URL_EXISTS)
        applicant = self._applicant(core, reached)
        deadline = asyncio.get_running_loop().time() + CHANGE_S_MAX
        await self._change("add_learner", applicant.name, said_of_itself(applicant))
        if not message.get("isLearner", False):
            await self._promote_in_time(applicant.name, deadline)
        answer = await self._after()
        added = member_number(Member(applicant.name, applicant.incarnation))
        return msgspec.structs.replace(answer, added=next((one for one in answer.members if one.id == added), None))

    async def promote(self, message: Message, _message_bytes: int) -> MembersAnswer:
        """A MemberPromoteRequest."""
        await self._require_root()
        core, member = await self._meant(message)
        if member in core.voters:
            raise EtcdError(Code.FAILED_PRECONDITION, errors.NOT_LEARNER)
        await self._change("promote_learner", member.name)
        return await self._after()

    async def remove(self, message: Message, _message_bytes: int) -> MembersAnswer:
        """A MemberRemoveRequest."""
        await self._require_root()
        _, member = await self._meant(message)
        await self._change("remove_member", member.name)
        return await self._after(without=member)

    async def update(self, message: Message, _message_bytes: int) -> MembersAnswer:
        """A MemberUpdateRequest: another peer URL."""
        await self._require_root()
        core, member = await self._meant(message)
        reached = _hosts_and_ports(message, self._handle.status().peer_scheme)
        if len(reached) > 1:
            raise invalid("etcdserver: a member of this cluster has one peer URL")
        if any(one.name != member.name and host_and_port(one) in reached for one in core.addresses):
            raise EtcdError(Code.FAILED_PRECONDITION, errors.PEER_URL_EXISTS)
        await self._change("readdress_member", member.name, {"address": reached.pop()})
        return await self._after()

    async def _require_root(self) -> None:
        await self._calls.users.require_root()

    # --- who is meant ------------------------------------------------------------------------------------------

    async def _barrier(self) -> None:
        self._calls.check_barrier(await self._handle.read_barrier(None))

    async def _now(self) -> CoreStatus:
        """What holds now, not what held when this node last heard of it: ids are looked up in it."""
        await self._barrier()
        await self._require_root()  # this node may have learned only now that there are users
        return self._handle.status().core

    async def _meant(self, message: Message) -> tuple[CoreStatus, Member]:
        core, wanted = await self._now(), message.get("ID", 0)
        for member in (*core.voters, *core.learners):
            if member_number(member) == wanted:
                return core, member
        raise EtcdError(Code.NOT_FOUND, errors.MEMBER_NOT_FOUND)

    def _applicant(self, core: CoreStatus, reached: set[str]) -> ApplicantStatus:
        """Whoever asks this node or another to be let in, at that address."""
        heard = heard_applicants(core, self._handle.views())
        asking = [(one, one.address) for one in heard if one.address is not None]
        for applicant, address in asking:
            if host_and_port(address) in reached:
                return applicant
        scheme = self._handle.status().peer_scheme
        known = ", ".join(sorted({f"{scheme}://{host_and_port(address)}" for _, address in asking})) or "nobody"
        sentence = (
            f"etcdserver: no node at {', '.join(sorted(reached))} asks to be let in (asking: {known}): start it "
            "first, on an empty disk, with the members as its seeds"
        )
        raise EtcdError(Code.FAILED_PRECONDITION, sentence)

    # --- the change --------------------------------------------------------------------------------------------

    async def _change(self, command: str, name: str, more: Mapping[str, str] | None = None) -> None:
        """Have the leader do it; raises `EtcdError` that says what became of it otherwise."""
        outcome = await self._command(command, name, more or {}, CHANGE_S_MAX)
        if outcome.code != "ok":
            _fail(outcome)

    async def _command(self, command: str, name: str, more: Mapping[str, str], seconds: float) -> CommandOutcome:
        leader = self._handle.status().core.leader
        if not leader:
            await self._calls.barrier()  # it waits for the next leader, as every read does
            leader = self._handle.status().core.leader
        if not leader:
            raise EtcdError(Code.UNAVAILABLE, "etcdserver: no leader")
        return await self._handle.command(command, {"name": name, **more}, int(seconds * 1e6), leader)

    async def _promote_in_time(self, name: str, deadline: float) -> None:
        """Give the new member its vote as soon as it has caught up. A promotion that is refused did nothing, so it is
        asked for again, until `deadline` (on the loop's clock)."""
        loop = asyncio.get_running_loop()
        while True:
            outcome = await self._command("promote_learner", name, {}, max(0.01, deadline - loop.time()))
            if outcome.code == "ok":
                return
            if outcome.data.get("reason") not in (Reason.BEHIND, Reason.NOT_NOW):
                _fail(outcome, f"{name} was added as a learner, but its promotion failed: ")
            if loop.time() + PROMOTE_AGAIN_S > deadline:
                late = f"etcdserver: {name} was added as a learner; promote it, for it has not caught up in time"
                raise EtcdError(Code.DEADLINE_EXCEEDED, late)
            await asyncio.sleep(PROMOTE_AGAIN_S)

    async def _after(self, without: Member | None = None) -> MembersAnswer:
        """The members once this node has heard of the change. `without`: who left, and may be this node, which then
        hears nothing any more."""
        await self._handle.read_barrier(None)  # where it fails, the change was made all the same
        return self._answer(without)

    def _answer(self, without: Member | None = None) -> MembersAnswer:
        status = self._handle.status()
        core = status.core
        told = {view.name: view.status.client_url for view in self._handle.views() if view.status is not None}
        reached = {address.name: address for address in core.addresses}
        members = tuple(
            _view(
                member,
                status.peer_scheme,
                reached.get(member.name),
                told.get(member.name, ""),
                member in core.learners,
            )
            for member in (*core.voters, *core.learners)
            if member != without
        )
        return MembersAnswer(self._calls.header(0), members)


def _view(member: Member, scheme: str, address: MemberAddress | None, client_url: str, is_learner: bool) -> MemberView:
    """`scheme`: how peers are dialled. `client_url`: its own word, which counts more than the configuration's."""
    peer_url = f"{scheme}://{host_and_port(address)}" if address is not None else ""
    client_url = client_url or (address.client_url if address is not None else "")
    return MemberView(member_number(member), member.name, peer_url, client_url, is_learner)


def _hosts_and_ports(message: Message, scheme: str) -> set[str]:
    """Of a request's peer URLs, as `host_and_port` writes them; raises `EtcdError` where etcd would, and for https
    where peers are not dialled so (`scheme`)."""
    found, given = set(), message.get("peerURLs", ())
    if len(given) > PEER_URLS_MAX or max(map(len, given), default=0) > PEER_URL_CHARS_MAX:
        raise invalid(errors.BAD_MEMBER_URLS)
    for text in given:
        try:
            url = urlsplit(text.strip())
            host, port = url.hostname, url.port
        except ValueError:
            host = port = None
        if not host or not port or url.path or url.query or url.fragment or "@" in url.netloc:
            raise invalid(errors.BAD_MEMBER_URLS)
        if url.scheme not in ("http", scheme):
            raise invalid(errors.BAD_MEMBER_URLS)
        found.add(host_and_port(MemberAddress("", host, port)))
    if not found:
        raise invalid(errors.BAD_MEMBER_URLS)
    return found


_REASONS = {
    Reason.NO_MEMBER: (Code.NOT_FOUND, errors.MEMBER_NOT_FOUND),
    Reason.MEMBER: (Code.FAILED_PRECONDITION, errors.MEMBER_EXISTS),
    Reason.BEHIND: (Code.FAILED_PRECONDITION, errors.LEARNER_NOT_READY),
    Reason.ONLY_VOTER: (Code.UNKNOWN, errors.NOT_ENOUGH_STARTED),
    Reason.NO_QUORUM: (Code.UNAVAILABLE, errors.UNHEALTHY),
}
"""etcd's own sentences where it has one. (That of `ONLY_VOTER` leaves etcd 3.6 with code 2.)"""


def _fail(outcome: CommandOutcome, before: str = "") -> NoReturn:
    """As an error of etcd's. `before`: what was done already, said first."""
    if outcome.code == "unknown":
        reason = f"etcdserver: it is unknown whether this was done: {before}{outcome.message}"
        raise EtcdError(Code.DEADLINE_EXCEEDED, reason)
    code, sentence = _REASONS.get(outcome.data.get("reason", ""), (Code.UNAVAILABLE, f"etcdserver: {outcome.message}"))
    if outcome.code == "malformed" or outcome.data.get("reason") == Reason.TOO_MANY:
        code = Code.FAILED_PRECONDITION
    raise EtcdError(code, f"etcdserver: {before}{outcome.message}" if before else sentence)
