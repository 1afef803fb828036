"""What an operator need not say of a node that is to be let in: it said so itself when it asked.

Why it exists: a disk's number and an address are nothing that people should have to copy. It must not decide who is let
in: an operator does, or the setting `auto_members`, and then the core.
"""

import re
from collections.abc import Mapping, Sequence

from node.raft.status import ApplicantStatus
from node.raft.types import MemberAddress
from node.runtime.commands import Value, find
from node.runtime.ports import CommandOutcome

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
        said = {"incarnation": found.incarnation, **_said(found.address)}
        return {**arguments, **said, **given}
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


def _said(address: MemberAddress | None) -> dict[str, Value]:
    if address is None:
        return {}
    return {"address": host_and_port(address), "client_url": address.client_url}


def host_and_port(address: MemberAddress) -> str:
    """As people write it."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[2]) <= 65535
