"""etcd's maintenance calls: what tools ask for, in etcd's fields, and true here."""

import json
from base64 import b64decode
from typing import Any

import aiohttp
import pytest

from node.api.etcd import errors
from node.api.etcd.identity import member_number
from node.api.etcd.maintenance_door import BLOB_BYTES
from node.raft.types import Role
from node.runtime.ports import CommandOutcome, ReadFailed
from node.statemachine.writes import Compact, DeleteRange, Put
from tests.api.double import ScriptedBackup, client_of, serving
from tests.observe.status import MEMBERS, node_status


async def post(http: aiohttp.ClientSession, name: str, message: object = None) -> tuple[int, dict[str, Any]]:
    async with http.post(f"/v3/maintenance/{name}", json=message or {}) as answer:
        return answer.status, json.loads(await answer.read())


async def test_a_full_store_is_an_alarm_of_this_member_until_there_is_room() -> None:
    async with serving(quota_bytes=300) as server, client_of(server) as http:
        own = str(member_number(MEMBERS[0]))
        status, body = await post(http, "alarm")
        assert (status, body.get("alarms")) == (200, None)
        assert body["header"]["member_id"] == own
        server.node.do(Put(b"k", b"v" * 400))
        raised = [{"memberID": own, "alarm": "NOSPACE"}]
        for message in ({}, {"action": "GET"}, {"alarm": "NOSPACE"}, {"alarm": 1, "memberID": str(2**64 - 1)}):
            assert (await post(http, "alarm", message))[1]["alarms"] == raised
        assert "alarms" not in (await post(http, "alarm", {"alarm": "CORRUPT"}))[1]
        assert (await post(http, "status"))[1]["errors"] == [f"memberID:{own} alarm:NOSPACE "]
        assert "alarms" not in (await post(http, "alarm", {"action": "DEACTIVATE", "alarm": "NOSPACE"}))[1]
        assert (await post(http, "alarm"))[1]["alarms"] == raised, "to disarm it makes no room"
        server.node.do(DeleteRange(b"k"), Compact(3))
        server.node.store.tidy(1000)
        assert "alarms" not in (await post(http, "alarm"))[1]
        assert "errors" not in (await post(http, "status"))[1]
        status, body = await post(http, "alarm", {"action": "ACTIVATE", "alarm": "NOSPACE"})
        assert (status, body["code"]) == (501, 12)


async def test_the_hash_is_of_all_that_lives_at_a_revision() -> None:
    async with serving() as one, serving() as two, client_of(one) as http, client_of(two) as other:
        one.node.do(Put(b"a", b"1"), Put(b"b", b"2"))
        two.node.do(Put(b"a", b"1"), Put(b"b", b"2"))
        at_3 = (await post(http, "hashkv", {"revision": "3"}))[1]
        assert at_3["hash"] > 0
        assert (at_3["compact_revision"], at_3["hash_revision"]) == ("-1", "3")
        assert (await post(other, "hashkv"))[1]["hash"] == at_3["hash"], "equal stores, equal hashes"
        assert (await post(http, "hash"))[1]["hash"] == at_3["hash"]
        one.node.do(Put(b"b", b"3"))
        assert (await post(http, "hashkv", {"revision": 3}))[1]["hash"] == at_3["hash"], "the past does not change"
        now = (await post(http, "hashkv"))[1]
        assert now["hash"] != at_3["hash"]
        assert now["hash_revision"] == now["header"]["revision"] == "4"
        one.node.do(Compact(4))
        assert (await post(http, "hashkv"))[1]["compact_revision"] == "4"
        status, body = await post(http, "hashkv", {"revision": 3})
        assert (status, body) == (400, {"code": 11, "message": errors.COMPACTED})
        status, body = await post(http, "hashkv", {"revision": 99})
        assert (status, body) == (400, {"code": 11, "message": errors.FUTURE_REVISION})


async def test_a_snapshot_comes_in_lines_that_count_down_and_are_the_file_together() -> None:
    async with serving() as server, client_of(server) as http:
        file = bytes(range(256)) * 1024
        backup = server.node.backup_file = ScriptedBackup(file)
        async with http.post("/v3/maintenance/snapshot", data=b"{}") as answer:
            assert answer.status == 200
            lines = [json.loads(line)["result"] for line in (await answer.read()).splitlines()]
        assert b"".join(b64decode(line["blob"]) for line in lines) == file
        left = [int(line.get("remaining_bytes", "0")) for line in lines]
        assert left == [len(file) - BLOB_BYTES, len(file) - 2 * BLOB_BYTES, 0]
        assert {line["version"] for line in lines} == {"3.6.0"}
        assert backup.closed == 1
        backup = server.node.backup_file = ScriptedBackup(file)
        backup.broken_at = BLOB_BYTES
        with pytest.raises(aiohttp.ClientError):
            async with http.post("/v3/maintenance/snapshot", data=b"{}") as answer:
                await answer.read()
        assert backup.closed == 1
        server.node.backup_file = ReadFailed("no-leader", "no leader is known")
        status, body = await post(http, "snapshot")
        assert (status, body) == (503, {"code": 14, "message": "etcdserver: no leader is known"})


async def test_there_is_nothing_to_defragment() -> None:
    async with serving() as server, client_of(server) as http:
        assert await post(http, "defragment") == (200, {})


async def test_the_leader_hands_over_to_the_voter_of_that_id_and_nobody_else_does() -> None:
    ids = [str(member_number(member)) for member in MEMBERS]
    async with serving() as server, client_of(server) as http:
        node = server.node
        assert await post(http, "transfer-leadership", {"targetID": ids[1]}) == (200, {})
        assert node.commanded == [("transfer_leadership", {"target": "n2"}, "")]
        assert await post(http, "transfer-leadership", {"targetID": ids[0]}) == (200, {}), "it leads already"
        bad = (400, {"code": 9, "message": errors.BAD_TRANSFEREE})
        assert await post(http, "transfer-leadership", {"targetID": "7"}) == bad
        assert await post(http, "transfer-leadership") == bad
        for code, status, grpc in (("refused", 400, 9), ("unknown", 504, 4), ("overloaded", 503, 14)):
            node.command_outcome = CommandOutcome("", "n1", code, "n2 is behind")  # type: ignore[arg-type]
            answer = await post(http, "transfer-leadership", {"targetID": ids[1]})
            assert answer == (status, {"code": grpc, "message": "etcdserver: n2 is behind"})
        node.own_status = node_status(name="n2", incarnation="i2", role=Role.FOLLOWER, leader="n1")
        assert await post(http, "transfer-leadership", {"targetID": ids[1]}) == (
            400,
            {"code": 9, "message": errors.NOT_LEADER},
        )
