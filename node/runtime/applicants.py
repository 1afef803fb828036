"""What an operator need not say of a node that is to be let in: it said so itself when it asked.

Why it exists: a disk's number and an address are nothing that people should have to copy. It must not decide who is let
in: an operator does, or the setting `auto_members`, and then the core.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from node.raft.status import ApplicantStatus, CoreStatus
from node.raft.types import MemberAddress
from node.runtime.commands import Value, find
from node.runtime.ports import CommandOutcome, PeerView

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


def of_applicant(
    command: str, arguments: Mapping[str, Value], applicants: Sequence[ApplicantStatus]
) -> Mapping[str, Value] | CommandOutcome:
    """The arguments, complete; or why they cannot be. What was said counts more than what the applicant says."""
    if arguments.get("address") and not _is_address(str(arguments["address"])):
        return CommandOutcome(command, "", "malformed", "address is host:port", field="address")
    spec = find(command)
    if spec is None or not spec.of_applicant:
        return arguments
    name, given = str(arguments["name"]), {key: value for key, value in arguments.items() if value}
    found = next((applicant for applicant in applicants if applicant.name == name), None)
    if found is not None and given.get("incarnation", found.incarnation) == found.incarnation:
        return {**arguments, **said_of_itself(found), **given}
    if "incarnation" in given:
        return arguments
    asking = ", ".join(applicant.name for applicant in applicants)
    return CommandOutcome(
        command,
        "",
        "refused",
        f"{name} does not ask this node to be let in (asking: {asking or 'nobody'}): it must run on an empty disk, "
        "with the members of this cluster as its seeds",
    )


def said_of_itself(applicant: ApplicantStatus) -> dict[str, str]:
    """As arguments of the command that lets it in."""
    address = applicant.address
    reached = {} if address is None else {"address": host_and_port(address), "client_url": address.client_url}
    return {"incarnation": applicant.incarnation, **reached}


def heard_applicants(core: CoreStatus, views: Sequence[PeerView]) -> tuple[ApplicantStatus, ...]:
    """Who asks this node or any that is heard to be let in, as the configuration that is known here has it, sorted: an
    empty disk asks its seeds, and who leads may be none of them. Of a name that two disks bear, whoever asked last."""
    own = core.name
    told = [view.status.core.applicants for view in views if view.reachable and view.status and view.name != own]
    members = {member.name: member.incarnation for member in (*core.voters, *core.learners)}
    found: dict[str, ApplicantStatus] = {}
    for one in sorted((*core.applicants, *(one for some in told for one in some)), key=lambda one: one.age_us):
        member = members.get(one.name, "")
        if member != one.incarnation:
            found.setdefault(one.name, msgspec.structs.replace(one, replaces=member))
    return tuple(found[name] for name in sorted(found))


def host_and_port(address: MemberAddress) -> str:
    """As people write it."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[2]) <= 65535
