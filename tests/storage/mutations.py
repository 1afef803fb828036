"""Mistakes about snapshots on disk, each as one small change of `node/storage`: tests of this folder, or the suite of
conformance, notice all.

Why it exists: see `tests.mutating`.

    python -m tests.storage.mutations            the whole list, one line a mutation; exit code 1 if one survives
"""

import sys

from tests.mutating import Mutation, passes, run

ROOM = "node/storage"
TESTS = (
    "test_continuity.py",
    "test_snapshot_format.py",
    "../conformance/test_snapshots.py",
    "test_snapshot_crashes.py",
)

MUTATIONS = (
    Mutation(
        "a snapshot has its name before it is durable",
        "snapshot_writing.py",
        "            spool.seal()\n",
        "            spool.close()\n",
    ),
    Mutation("the name of a snapshot is not durable", "spool.py", "        self._files.sync_folder()", "        pass"),
    Mutation(
        "a snapshot is relied on that was not read back",
        "snapshot_writing.py",
        "            read_back = SnapshotFile(files, spool.name, cure).verify()\n",
        "            read_back = info\n",
    ),
    Mutation(
        "the snapshot before goes first",
        "snapshot_writing.py",
        "            spool.name_as(snapshot_name(info.base.index))\n            remove_superseded(files, in_use())\n",
        "            remove_superseded(files, {spool.name})\n"
        "            [files.remove(snapshot_name(index)) for index in indices(files.names())]\n"
        "            spool.name_as(snapshot_name(info.base.index))\n",
    ),
    Mutation(
        "take another snapshot than was announced",
        "snapshot_writing.py",
        'problem = "" if read_back == info else',
        'problem = "" if read_back else',
    ),
    Mutation(
        "write a piece twice that comes twice",
        "snapshot_receiving.py",
        "if self._given_up or offset != at or not data:",
        "if self._given_up or offset > at or not data:",
    ),
    Mutation(
        "the checksum of a chunk is not looked at",
        "snapshot_format.py",
        "        if crc != _chunk_crc(data, at.chain):",
        "        if False:",
    ),
    Mutation(
        "a chunk may come from another place of the file",
        "snapshot_format.py",
        'return zlib.crc32(data, zlib.crc32(len(data).to_bytes(4, "little"), chain))',
        'return zlib.crc32(data, zlib.crc32(len(data).to_bytes(4, "little")))',
    ),
    Mutation(
        "what follows the closing record is passed over",
        "snapshot_format.py",
        "        if size != self._size_bytes:",
        "        if False:",
    ),
    Mutation(
        "the closing record may count others",
        "snapshot_format.py",
        "        if (chunks, size) != (at.chunks, at.offset + _CLOSING.size):",
        "        if False:",
    ),
    Mutation(
        "a log may begin anywhere without a snapshot",
        "continuity.py",
        "if log.base.index > 0:",
        "if log.base.index < 0:",
    ),
    Mutation(
        "entries may be missing between snapshot and log",
        "continuity.py",
        "    if log.cluster_id and index < log.base.index:",
        "    if False:",
    ),
    Mutation(
        "a log goes on that holds another entry where the snapshot ends",
        "continuity.py",
        "    if log.cluster_id and term == latest.base.term:",
        "    if log.cluster_id:",
    ),
    Mutation(
        "two histories, and one is thrown away",
        "continuity.py",
        "    if term is not None and committed:",
        "    if False:",
    ),
    Mutation(
        "a vote outlives the term of the snapshot",
        "continuity.py",
        'state.vote if term == state.term else ""',
        "state.vote",
    ),
    Mutation(
        "forget that what a snapshot holds is committed",
        "continuity.py",
        "max(state.commit, base.index)",
        "state.commit",
    ),
)


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    return passes(mutation, ROOM, "tests/storage", TESTS, beside=["tests/conformance"])


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
