"""Results as etcd's gateway writes them: field names of the protocol, int64 as strings, bytes as base64, defaults
left out.

Why it exists: it is the other half of the form that clients know. It must not decide what is answered.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence

from node.statemachine.commands import (
    CompactResult,
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    Response,
    TxnResult,
)

KEYS_PER_TURN_MAX = 2_000
"""Keys of one answer that are written before others get their turn."""

_NAMES = {
    PutResult: "response_put",
    DeleteResult: "response_delete_range",
    RangeResult: "response_range",
    TxnResult: "response_txn",
}


async def render(result: PutResult | DeleteResult | RangeResult | TxnResult | CompactResult, header: str) -> str:
    """The answer. `header`: the fields that name cluster, member and term, such as `"raft_term":"2"`, in between."""
    before, _, after = header.partition("|")
    own = f'{{"header":{{{before}"revision":"{result.revision}",{after}}}'
    if isinstance(result, TxnResult):
        return own + await _txn(result)
    if isinstance(result, CompactResult):
        return own + "}"
    return own + await _plain(result)


async def _plain(result: PutResult | DeleteResult | RangeResult) -> str:
    """What follows the header, with the closing brace."""
    if isinstance(result, PutResult):
        return f',"prev_kv":{_kv(result.prev)}}}' if result.prev is not None else "}"
    if isinstance(result, DeleteResult):
        deleted = f',"deleted":"{result.deleted}"' if result.deleted else ""
        return deleted + (f',"prev_kvs":[{await _kvs(result.prev)}]}}' if result.prev else "}")
    kvs = f',"kvs":[{await _kvs(result.kvs)}]' if result.kvs else ""
    count = f',"count":"{result.count}"}}' if result.count else "}"
    return kvs + (',"more":true' if result.more else "") + count


async def _txn(result: TxnResult) -> str:
    succeeded = ',"succeeded":true' if result.succeeded else ""
    if not result.responses:
        return succeeded + "}"
    responses = [f'{{"{_NAMES[type(r)]}":{await _inner(r)}}}' for r in result.responses]
    return f'{succeeded},"responses":[{",".join(responses)}]}}'


async def _inner(response: Response) -> str:
    """A response inside a transaction: of its header only the revision, and of a nested transaction's nothing."""
    if isinstance(response, TxnResult):
        return '{"header":{}' + await _txn(response)
    return f'{{"header":{{"revision":"{response.revision}"}}' + await _plain(response)


async def _kvs(kvs: Sequence[KeyValue]) -> str:
    pieces = []
    for start in range(0, len(kvs), KEYS_PER_TURN_MAX):
        if start:
            await asyncio.sleep(0)
        pieces.append(",".join(map(_kv, kvs[start : start + KEYS_PER_TURN_MAX])))
    return ",".join(pieces)


def _kv(kv: KeyValue) -> str:
    value = f',"value":"{b64encode(kv.value).decode()}"' if kv.value else ""
    lease = f',"lease":"{kv.lease}"' if kv.lease else ""
    return (
        f'{{"key":"{b64encode(kv.key).decode()}","create_revision":"{kv.create_revision}",'
        f'"mod_revision":"{kv.mod_revision}","version":"{kv.version}"{value}{lease}}}'
    )
