"""What a snapshot of the store consists of, in bytes: a sequence of sections, each in one or more chunks.

Why it exists: snapshots outlive this code, and travel between nodes of two versions. A chunk is a tagged msgpack array,
as a write of the log is. The form of a section never changes, that of `KeyValue` in it included: whatever is new is
a section with a new name, which an older program refuses by that name. It must not know how the store keeps its
versions.

Equal states give equal bytes: chunks are cut by what is in them, never by the slices in which they were made.
"""

from typing import Annotated, get_args

import msgspec

from node.statemachine.auth import Role, Token, User
from node.statemachine.leases import Lease
from node.statemachine.sessions import Session
from node.statemachine.writes import Integer, KeyValue, Natural

CHUNK_BYTES = 64 * 1024
"""A chunk is closed once it has this many."""

CHUNK_BYTES_MAX = 2 * 1024 * 1024
"""A longer chunk is refused: the last version of one may have a value of 1.5 MiB."""

CHUNK_VERSIONS_MAX = 1024
"""Versions in one chunk: they are encoded, and decoded, in one go."""

CHUNK_ROWS_MAX = 256
"""Rows of sessions likewise: each may have many results."""


class _Section(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class StoreSection(_Section, frozen=True, tag="store", gc=False):
    """The first chunk. `last`: the revision of the last change; `compacted`: the oldest readable one, -1: all are."""

    last: Natural
    compacted: Integer


class SessionsSection(_Section, frozen=True, tag="sessions", gc=False):
    """The second chunk, where there are sessions: how many sessions, and results of writes in them, follow."""

    sessions: Natural
    results: Natural


class SessionRowsSection(_Section, frozen=True, tag="session-rows"):
    """Sessions, the one that was idle for longest first, after `before` rows in earlier chunks. One whose results
    do not fit in a chunk has a row in each that it takes, equal but for them."""

    before: Natural
    rows: Annotated[list[Session], msgspec.Meta(min_length=1, max_length=CHUNK_ROWS_MAX)]


class SessionOwnersSection(_Section, frozen=True, tag="session-owners"):
    """After the sessions, where users opened some of them: whose those are, in the same order, after `before` in
    earlier chunks and before `more` in later ones."""

    before: Natural
    more: Natural
    rows: Annotated[list[tuple[Natural, str]], msgspec.Meta(min_length=1, max_length=CHUNK_ROWS_MAX)]


class LeasesSection(_Section, frozen=True, tag="leases", gc=False):
    """Before the versions, where there are leases: how many follow."""

    leases: Natural


class LeaseRowsSection(_Section, frozen=True, tag="lease-rows"):
    """Leases in the order of their numbers. Which keys they have is what the versions say."""

    rows: Annotated[list[Lease], msgspec.Meta(min_length=1, max_length=CHUNK_VERSIONS_MAX)]


class AuthSection(_Section, frozen=True, tag="auth", gc=False):
    """Before the versions, where anything was ever said about users: how many roles, users and tokens follow, in that
    order; the others as `Auth` has them."""

    enabled: bool
    revision: Natural
    era: Natural
    roles: Natural
    users: Natural
    tokens: Natural


class RolesSection(_Section, frozen=True, tag="auth-roles"):
    """Roles in the order of their names."""

    rows: Annotated[list[Role], msgspec.Meta(min_length=1, max_length=CHUNK_ROWS_MAX)]


class UsersSection(_Section, frozen=True, tag="auth-users"):
    """Users likewise."""

    rows: Annotated[list[User], msgspec.Meta(min_length=1, max_length=CHUNK_ROWS_MAX)]


class TokensSection(_Section, frozen=True, tag="auth-tokens"):
    """Tokens, the oldest first."""

    rows: Annotated[list[Token], msgspec.Meta(min_length=1, max_length=CHUNK_ROWS_MAX)]


AuthRows = RolesSection | UsersSection | TokensSection


class VersionsSection(_Section, frozen=True, tag="versions"):
    """All that a reader of any readable revision can see, in the order of keys, those of a key oldest first. Of a key
    that did not live at `compacted`, tombstones included that came later; of several versions that one transaction
    wrote, the last."""

    versions: Annotated[list[KeyValue], msgspec.Meta(min_length=1, max_length=CHUNK_VERSIONS_MAX)]


class ChangedKeys(_Section, frozen=True, gc=False):
    """A row of the section that follows: keys, in the order in which `revision` changed them."""

    revision: Natural
    keys: Annotated[list[bytes], msgspec.Meta(min_length=1)]


class ChangesSection(_Section, frozen=True, tag="changes"):
    """What the versions before it do not tell of the history by revision: the keys of revisions that changed them in
    another order than theirs, and of the compacted one, where it deleted some. One that does not fit in a chunk has a
    row in each that it takes."""

    changes: Annotated[list[ChangedKeys], msgspec.Meta(min_length=1, max_length=CHUNK_ROWS_MAX)]


class ClosingSection(_Section, frozen=True, tag="end", gc=False):
    """The last chunk: how many keys and versions there were."""

    keys: Natural
    versions: Natural


Section = (
    StoreSection
    | SessionsSection
    | SessionRowsSection
    | SessionOwnersSection
    | LeasesSection
    | LeaseRowsSection
    | AuthSection
    | AuthRows
    | VersionsSection
    | ChangesSection
    | ClosingSection
)

_SECTIONS: msgspec.msgpack.Decoder[Section] = msgspec.msgpack.Decoder(Section)
_ENCODER = msgspec.msgpack.Encoder()
_NAMES = {str(kind.__struct_config__.tag) for kind in get_args(Section)}


def encode_section(section: Section) -> bytes:
    """A chunk."""
    return _ENCODER.encode(section)


def decode_section(chunk: bytes) -> Section:
    """Inverse of `encode_section`; raises `ValueError` for anything else."""
    try:
        return _SECTIONS.decode(chunk)
    except msgspec.MsgspecError as error:
        raise ValueError(f"a chunk of the snapshot is damaged: {error}") from None


def check_head(chunk: bytes) -> None:
    """Raises `ValueError` for what is no chunk, or of a section that is not known here; looks at its head alone."""
    if len(chunk) > CHUNK_BYTES_MAX:
        raise ValueError(f"a chunk of a snapshot has at most {CHUNK_BYTES_MAX} bytes, this one {len(chunk)}")
    if len(chunk) < 2 or not 0x92 <= chunk[0] <= 0x9F or not 0xA1 <= chunk[1] <= 0xBF:
        raise ValueError("this is no chunk of a snapshot: it does not begin with the name of a section")
    name = chunk[2 : 2 + (chunk[1] & 0x1F)].decode("ascii", "backslashreplace")
    if name not in _NAMES:
        raise ValueError(f"the snapshot has a section {name!r}, which this version does not know: use a newer one")
