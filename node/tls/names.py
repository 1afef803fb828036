"""Which certificate proves which member: pure.

Why it exists: a peer says its name, and with TLS it must prove it. The rule has one place, for whoever dials and
whoever is dialled (decision 20). It must not know sockets.

A certificate proves a name where one of its subject alternative names is
- the name itself, as a DNS name;
- the host at which the name is reached, by settings or configuration, as a DNS name or an IP address; not where
  another member is reached at the same host, for then it would prove either;
- or name + "." + domain, where a member that is known is reached at a host of that form: so pods of one headless
  Service prove theirs, also before anybody has heard where they are.
A wildcard stands for the first label alone, and for the last two of these only.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class Proof(NamedTuple):
    """What a certificate may say. `exact`: the name itself, which no wildcard covers; `hosts`: which one may."""

    exact: str
    hosts: tuple[str, ...]


def proof_of(name: str, hosts: Mapping[str, str]) -> Proof:
    """For one `name`, where members are reached at these `hosts`."""
    found: dict[str, None] = {}
    own = hosts.get(name, "").lower()
    if own and all(host.lower() != own for other, host in hosts.items() if other != name):
        found[own] = None
    for member, host in hosts.items():
        first, dot, domain = host.lower().partition(".")
        if dot and domain and first == member.lower():
            found[f"{name.lower()}.{domain}"] = None
    return Proof(name.lower(), tuple(found))


def proves(certificate: Mapping[str, Any] | None, proof: Proof) -> bool:
    """Whether this certificate, as `getpeercert` tells it, proves that."""
    for kind, text in names_in(certificate):
        said = text.lower()
        if kind == "DNS" and (said == proof.exact or any(_covers(said, host) for host in proof.hosts)):
            return True
        if kind == "IP Address" and _is_one_of(said, proof.hosts):
            return True
    return False


def names_in(certificate: Mapping[str, Any] | None) -> Collection[tuple[str, str]]:
    """Its subject alternative names: kind and text."""
    return tuple((certificate or {}).get("subjectAltName", ()))


def told(certificate: Mapping[str, Any] | None) -> str:
    """For people: what it proves; bounded."""
    said = [text for _, text in names_in(certificate)]
    more = f" and {len(said) - 4} more" if len(said) > 4 else ""
    return f"{', '.join(said[:4])[:160]}{more}" if said else "no name at all"


def _covers(pattern: str, host: str) -> bool:
    if not pattern.startswith("*."):
        return pattern == host
    first, dot, domain = host.partition(".")
    return bool(first and dot) and "." in domain and domain == pattern[2:]


def _is_one_of(said: str, hosts: Collection[str]) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(said.strip())
    except ValueError:
        return False
    for host in hosts:
        try:
            if ipaddress.ip_address(host) == address:
                return True
        except ValueError:
            continue
    return False
