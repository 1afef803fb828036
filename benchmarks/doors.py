"""What a door costs: writes per second with tokens, with every write audited, with TLS, each beside a cluster without.

Why it exists: whoever puts a cluster on a network asks what its locks take. Both clusters run at the same time and are
loaded in turns, so that a noisy machine is noisy to both. `python -m benchmarks.doors [ROUNDS [DOOR ...]]` prints for
each door and number of clients the medians of the rounds' ratios (with / without): writes per second, and processor
time of all nodes for a write, which a busy machine changes less. The way is etcd's JSON over HTTP/1.1, by connections
that stay.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import trustme

from benchmarks.load import Load
from benchmarks.measure import WRITE_KINDS, run_generator
from benchmarks.systems import OPEN, Door, System, running
from node.access.principals import Role
from node.access.tokens import line_of

ROUNDS = 7
TRIES = 3
"""For each round, until one is without an error."""
CLIENTS = (1, 64)
SECONDS = 2.0
NODES = 3
TOKEN = "benchmark-" + "x" * 32


class Kind(NamedTuple):
    """A cluster: its flags, and what these ask of clients."""

    flags: tuple[str, ...] = ()
    door: Door = OPEN


class Asked(NamedTuple):
    """One round on one system."""

    per_second: float
    cpu_us: float
    errors: int


def kinds(folder: Path) -> dict[str, tuple[Kind, Kind]]:
    """By the door's name: with it, and without."""
    tokens = folder / "tokens.txt"
    tokens.write_text(line_of("benchmark", [Role.WRITE], TOKEN) + "\n")
    by_token = Kind(("--tokens-file", str(tokens)), Door(token=TOKEN))
    audited = Kind((*by_token.flags, "--audit", "writes"), by_token.door)
    return {"tokens": (by_token, Kind()), "audit=writes": (audited, by_token), "TLS": (_tls(folder), Kind())}


def _tls(folder: Path) -> Kind:
    """For clients, and mutual between nodes, which share a certificate here."""
    authority = trustme.CA()
    ca, cert, key = (folder / name for name in ("ca.crt", "node.crt", "node.key"))
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("n1", "n2", "n3", "localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    flags = ("--tls-accept", "tls", "--tls-cert", str(cert), "--tls-key", str(key))
    peers = ("--peer-tls-accept", "tls", "--peer-tls-dial", "tls", "--peer-tls-cert", str(cert))
    return Kind((*flags, *peers, "--peer-tls-key", str(key), "--peer-tls-ca", str(ca)), Door(ca=str(ca)))


@contextmanager
def _both(folder: Path, made: tuple[Kind, Kind]) -> Iterator[list[tuple[System, Door]]]:
    with ExitStack() as stack:
        yield [
            (stack.enter_context(running("ours", folder / f"{at}", NODES, *kind.flags, door=kind.door)), kind.door)
            for at, kind in enumerate(made)
        ]


def asked(system: System, door: Door, clients: int) -> Asked:
    """One round."""
    leader = system.leader()
    assert leader is not None
    head = f"Authorization: Bearer {door.token}\r\n" if door.token else ""
    target = [("127.0.0.1", system.ports[leader])]
    processes = [psutil.Process(system.pid(node)) for node in range(NODES)]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    load = Load(target, WRITE_KINDS[system.api], clients, SECONDS, warmup_s=0.0, head=head, ca=door.ca)
    tally = run_generator(load)
    used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
    return Asked(tally.per_second, used / max(tally.done, 1) * 1e6, sum(tally.errors.values()))


def main() -> int:
    """Each door, beside none; which is asked first alternates."""
    rounds, wanted = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS, sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        for name, made in kinds(Path(folder)).items():
            if wanted and name not in wanted:
                continue
            with _both(Path(folder) / name, made) as systems:
                for clients in CLIENTS:
                    _show(name, clients, systems, rounds)
    return 0


def _show(name: str, clients: int, systems: list[tuple[System, Door]], rounds: int) -> None:
    found: list[list[Asked]] = []
    for number in range(TRIES * rounds):
        first = number % 2
        one, other = asked(*systems[first], clients), asked(*systems[1 - first], clients)
        if not (one.errors or other.errors):  # the machine did so much else that a leader changed
            found.append([other, one] if first else [one, other])
        if len(found) == rounds:
            break
    if not found:
        print(f"{name:13} {clients:3} clients: no round without an error")
        return
    rates = sorted(with_it.per_second / without.per_second for with_it, without in found)
    cpu = statistics.median(with_it.cpu_us / without.cpu_us for with_it, without in found)
    print(
        f"{name:13} {clients:3} clients: {statistics.median(rates):.2f} of the writes per second "
        f"({rates[0]:.2f} to {rates[-1]:.2f}), {cpu:.2f} of the processor time for each "
        f"({statistics.median(each[0].per_second for each in found):,.0f} a second beside "
        f"{statistics.median(each[1].per_second for each in found):,.0f})",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
