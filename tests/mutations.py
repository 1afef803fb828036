"""All mutations as one list, by what they are about.

Why it exists: each room has its own list beside its tests, and whoever wants to know how well an area is held should
not have to count three files.

    python -m tests.mutations                  how many there are, by area
    python -m tests.mutations members          those of one area, by name
"""

import sys
from collections.abc import Iterator

from tests.grpc.mutations import MUTATIONS as OF_DOORS
from tests.grpc.mutations import OF_GRPC, OF_HTTP2, OF_THE_CLIENT, OF_TURNS
from tests.mutating import Mutation
from tests.raft.mutations import MUTATIONS as OF_RAFT
from tests.statemachine.auth_mutations import MUTATIONS as OF_USERS
from tests.statemachine.lease_mutations import MUTATIONS as OF_LEASES
from tests.statemachine.mutations import MUTATIONS as OF_THE_STORE
from tests.storage.mutations import MUTATIONS as OF_STORAGE
from tests.watching.mutations import MUTATIONS as OF_WATCHES

FILES = {
    "snapshots": ("restoring.py", "spool.py", "continuity.py"),
    "members": ("changes.py", "membership.py"),
    "sessions": ("sessions.py", "applying.py"),
    "failover": ("evidence.py",),
}
"""Files of one area, whatever is changed in them."""
WORDS = {
    "snapshots": ("snapshot", "compact", "a base", "the base"),
    "members": ("learner", "remove", "members", "configuration", "let in", "let this disk", "applicant", "new disk",
                "invite", "left", "stranger", "tell a member", "a later index"),
    "sessions": ("session",),
    "failover": ("evidence", "stickiness", "hand", "silent disk", "pre-vote", "target"),
}  # fmt: skip
"""Of a name, in this order; what none of them says is of the algorithm as the paper has it."""
BY_DOOR = {
    "locks and elections": OF_TURNS,
    "gRPC": OF_GRPC,
    "HTTP/2": OF_HTTP2,
    "the client's watches and leases": OF_THE_CLIENT,
}
THE_REST = "the paper's algorithm, birth, bounds"


def area_of(mutation: Mutation) -> str:
    """What it is about."""
    if mutation in OF_WATCHES:
        return "watches"
    if mutation in OF_LEASES:
        return "leases"
    if mutation in OF_USERS:
        return "users"
    for area, doors in BY_DOOR.items():
        if mutation in doors:
            return area
    for area, files in FILES.items():
        if mutation.file in files:
            return area
    if mutation in OF_THE_STORE:
        return "sessions"
    for area, words in WORDS.items():
        if any(word in mutation.name for word in words):
            return area
    return "snapshots" if mutation in OF_STORAGE else THE_REST


def by_area() -> dict[str, list[Mutation]]:
    """Every mutation there is."""
    found: dict[str, list[Mutation]] = {area: [] for area in (*WORDS, "leases", "users", "watches", *BY_DOOR, THE_REST)}
    for mutation in everything():
        found[area_of(mutation)].append(mutation)
    return found


def everything() -> Iterator[Mutation]:
    """Of all rooms."""
    yield from OF_RAFT
    yield from OF_STORAGE
    yield from OF_THE_STORE
    yield from OF_WATCHES
    yield from OF_LEASES
    yield from OF_USERS
    yield from OF_DOORS


def main(wanted: list[str]) -> int:
    for area, mutations in by_area().items():
        if not wanted:
            print(f"{len(mutations):>4}  {area}")
        elif area in wanted:
            print(*(f"{mutation.file}: {mutation.name}" for mutation in mutations), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
