"""etcd's maintenance API in JSON: its routes, and how their answers are written.

Why it exists: beside `json_door`, for answers that are none of keys, one of which is a stream. It must not know what a
call does.
"""

from base64 import b64encode
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from node.api.answers import JSON_HEADERS
from node.api.backup import BACKUP_SECONDS_MAX, pieces_of
from node.api.etcd.json_door import Handler, JsonDoor
from node.api.etcd.maintenance import AlarmAnswer, HashAnswer, MaintenanceCalls, Nothing
from node.api.etcd.rendering import CLUSTER_VERSION, header_text
from node.api.streaming import answer_as_read
from node.runtime.ports import Backup

BLOB_BYTES = 96 * 1024
"""Of the file in one piece of the stream."""


def routes_of(calls: MaintenanceCalls, door: JsonDoor) -> dict[str, Handler]:
    """By path, all of them POST."""
    return {
        "/v3/maintenance/alarm": door.plain("AlarmRequest", calls.alarm, _alarm),
        "/v3/maintenance/defragment": door.plain("DefragmentRequest", calls.defragment, _nothing),
        "/v3/maintenance/hash": door.plain("HashRequest", calls.hash, _hash),
        "/v3/maintenance/hashkv": door.plain("HashKVRequest", calls.hash_kv, _hash_kv),
        "/v3/maintenance/snapshot": door.handler("SnapshotRequest", calls.snapshot, _stream),
        "/v3/maintenance/transfer-leadership": door.plain("MoveLeaderRequest", calls.move_leader, _nothing),
    }


def _nothing(_answer: Nothing) -> bytes:
    return b"{}\n"


def _alarm(answer: AlarmAnswer) -> bytes:
    alarms = f',"alarms":[{{"memberID":"{answer.full}","alarm":"NOSPACE"}}]' if answer.full else ""
    return f'{{"header":{{{header_text(answer.header)}}}{alarms}}}\n'.encode()


def _hash(answer: HashAnswer) -> bytes:
    return f'{{"header":{{{header_text(answer.header)}}}{_number(answer)}}}\n'.encode()


def _hash_kv(answer: HashAnswer) -> bytes:
    revisions = f',"compact_revision":"{answer.compact_revision}","hash_revision":"{answer.revision}"'
    return f'{{"header":{{{header_text(answer.header)}}}{_number(answer)}{revisions}}}\n'.encode()


def _number(answer: HashAnswer) -> str:
    return f',"hash":{answer.hash}' if answer.hash else ""


async def _stream(request: web.Request, backup: Backup) -> web.StreamResponse:
    """A line of JSON for each piece, as etcd's gateway has it."""
    try:
        return await answer_as_read(request, _lines(backup), JSON_HEADERS, BACKUP_SECONDS_MAX)
    finally:
        backup.close()


async def _lines(backup: Backup) -> AsyncIterator[bytes]:
    remaining = backup.info.size_bytes
    async for piece in pieces_of(backup, BLOB_BYTES):
        remaining -= len(piece)
        left = {"remaining_bytes": str(remaining)} if remaining else {}
        result = {**left, "blob": b64encode(piece).decode(), "version": CLUSTER_VERSION}
        yield msgspec.json.encode({"result": result}) + b"\n"
