"""`/members`: who belongs to the cluster, how far each has got, and who asks to be let in.

Why it exists: whoever changes members needs one picture from any node: how far a learner is only the leader knows, so
another node shows what the leader told it last. It must not change anything: that is a command.
"""

from collections.abc import Sequence

from aiohttp import web

from node.api.answers import json_answer
from node.raft.status import ApplicantStatus, CoreStatus
from node.raft.types import Member, MemberAddress
from node.runtime.applicants import heard_applicants, host_and_port
from node.runtime.ports import NodeHandle


class MembersApi:
    """The handler of `/members`."""

    def __init__(self, handle: NodeHandle) -> None:
        self._handle = handle

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [web.get("/members", self.members)]

    async def members(self, _request: web.Request) -> web.Response:
        """Everybody, as this node and the leader know them."""
        status = self._handle.status()
        own, views = status.core, self._handle.views()
        lead = next((view.status for view in views if view.name == own.leader and view.reachable), None)
        said = own if lead is None else lead.core
        return json_answer(members_body(own, said, heard_applicants(own, views), status.address))


def members_body(
    own: CoreStatus, lead: CoreStatus, applicants: Sequence[ApplicantStatus] = (), address: MemberAddress | None = None
) -> dict[str, object]:
    """`lead`: what the leader said last, or this node's own where it said nothing. `applicants`: who asks anybody.
    `address`: how this node is reached, as it says itself, for whoever lets it in again after it was removed."""
    return {
        "node": own.name,
        "own": {"incarnation": own.incarnation, **_reached(address)},
        "cluster_id": own.cluster_id,
        "leader": own.leader,
        "changing": own.changing_members,
        "removed": own.removed,
        "voters": [_row(own, lead, member) for member in own.voters],
        "learners": [_row(own, lead, member) for member in own.learners],
        "applicants": [_applicant(one) for one in applicants],
    }


def _row(own: CoreStatus, lead: CoreStatus, member: Member) -> dict[str, object]:
    """Numbers are None where nobody knows them."""
    is_leader = member.name == own.leader
    peer = next(
        (peer for peer in lead.peers if (peer.name, peer.incarnation) == (member.name, member.incarnation)), None
    )
    followed = peer is not None and bool(peer.progress)
    match = (
        lead.last_index if is_leader and lead.name == own.leader else peer.match_index if peer and followed else None
    )
    age_us = None if peer is None or lead.name != own.leader else peer.contact_age_us
    return {
        "name": member.name,
        "incarnation": member.incarnation,
        **_reached(next((address for address in own.addresses if address.name == member.name), None)),
        "leader": is_leader,
        "last_contact_ms": None if age_us is None else age_us / 1000,
        "match_index": match,
        "lag_entries": None if match is None else max(0, lead.last_index - match),
    }


def _applicant(applicant: ApplicantStatus) -> dict[str, object]:
    return {
        "name": applicant.name,
        "incarnation": applicant.incarnation,
        **_reached(applicant.address),
        "replaces": applicant.replaces,
        "age_ms": applicant.age_us / 1000,
    }


def _reached(address: MemberAddress | None) -> dict[str, str]:
    if address is None:
        return {"address": "", "client_url": ""}
    return {"address": host_and_port(address), "client_url": address.client_url}
