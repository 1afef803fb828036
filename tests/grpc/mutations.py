"""Mistakes about locks and elections, gRPC, HTTP/2 and the client's watches and leases, each as one small change.

Why it exists: see `tests.mutating`. These are in several rooms; each is noticed by fast tests of its own.

    python -m tests.grpc.mutations                the whole list, one line a mutation; exit code 1 if one survives
"""

import sys

from tests.mutating import ASYNC, Mutation, passes, run

ROOM = "."

_TURNS, _LOCKS, _ELECTIONS = (f"node/api/etcd/{name}.py" for name in ("turns", "lock_calls", "election_calls"))
_GRPC, _HTTP2 = "node/api/grpc/", "node/api/http2/"
_WATCHING, _LEASES = "raftclient/watching.py", "raftclient/leases.py"

OF_TURNS = (
    Mutation(
        "who waits looks at the oldest key, not at the one before",
        _TURNS,
        '            "sort_order": _DESCEND,\n',
        '            "sort_order": ENUMS["SortOrder"]["ASCEND"],\n',
    ),
    Mutation("the one before is overlooked", _TURNS, "create_revision - 1,", "create_revision - 2,"),
    Mutation(
        "who leaves while it waits stays in the queue",
        _TURNS,
        "            self.leave(turn)\n            raise\n",
        "            raise\n",
    ),
    Mutation(
        "a key goes, whoever made it anew",
        _TURNS,
        "return (await self.txn(created(key, create_revision), [_delete(key)], [])).revision",
        'return (await self.txn(created(key + b"/", 0), [_delete(key)], [])).revision',
    ),
    Mutation(
        "who resigns leads on",
        _TURNS,
        "return (await self.txn(created(key, create_revision), [_delete(key)], [])).revision",
        "return (await self.txn(created(key, 0), [_delete(key)], [])).revision",
    ),
    Mutation("who names no lease holds for ever", _TURNS, "        if not lease:\n", "        if False:\n"),
    Mutation(
        "the same lease goes to the end of the queue",
        _TURNS,
        "            created(key, 0),\n",
        '            created(key + b"/", 0),\n',
    ),
    Mutation(
        "everybody is the first",
        _TURNS,
        "first is None or first.create_revision == create_revision",
        "True",
    ),
    Mutation("the newest key is the first", _TURNS, 'ENUMS["SortOrder"]["ASCEND"]}', 'ENUMS["SortOrder"]["DESCEND"]}'),
    Mutation(
        "a key that goes at once is waited for",
        _TURNS,
        'self.following(key, b"", revision + 1, no_put=True)',
        'self.following(key, b"", revision + 2, no_put=True)',
    ),
    Mutation("more wait than may", _TURNS, "if self._waiting >= WAITING_MAX:", "if False:"),
    Mutation("who went is counted among those who wait", _TURNS, "            self._waiting -= 1\n", ""),
    Mutation(
        "a watch of who waited stays",
        _TURNS,
        "            self._waiting -= 1\n            stream.close()\n",
        "            self._waiting -= 1\n",
    ),
    Mutation(
        "what is wrong has a code that etcd does not give it",
        _TURNS,
        "raise EtcdError(Code.UNKNOWN, error.message) from None",
        "raise",
    ),
    Mutation("who lost its key holds the lock", _LOCKS, "if not now.kvs:", "if False:"),
    Mutation("nobody waits for a lock", _LOCKS, "if turn.first:", "if True:"),
    Mutation("whoever waits holds the lock twice", _LOCKS, "        await self._turns.wait(name, turn)\n", ""),
    Mutation("nobody waits to lead", _ELECTIONS, "        if not turn.first:\n", "        if False:\n"),
    Mutation(
        "who campaigns again says its old value",
        _ELECTIONS,
        "if turn.was_there is not None and turn.was_there.value != value:",
        "if False:",
    ),
    Mutation(
        "what is said already is said again",
        _ELECTIONS,
        "if turn.was_there is not None and turn.was_there.value != value:",
        "if turn.was_there is not None:",
    ),
    Mutation(
        "a leader that is gone is observed on",
        _ELECTIONS,
        "                    if event.is_delete:\n                        return\n",
        "                    if event.is_delete:\n                        continue\n",
    ),
    Mutation(
        "what a leader says at once is not observed",
        _ELECTIONS,
        'self._turns.following(told.kv.key, b"", told.revision + 1)',
        'self._turns.following(told.kv.key, b"", told.revision + 2)',
    ),
    Mutation("who leads no more proclaims", _ELECTIONS, "if not result.succeeded:", "if False:"),
    Mutation(
        "a value is put whoever leads",
        _ELECTIONS,
        "created(leader.key, leader.rev), [put]",
        'created(leader.key + b"/", 0), [put]',
    ),
)

OF_GRPC = (
    Mutation(
        "a message of a stream may be of any length",
        _GRPC + "streaming.py",
        "if size > STREAM_MESSAGE_BYTES_MAX:",
        "if False:",
    ),
    Mutation(
        "the beginning of a message is forgotten",
        _GRPC + "streaming.py",
        'b"" if self._ended else body',
        'b""',
    ),
    Mutation(
        "all messages of a piece are taken at once",
        "node/api/grpc/streaming.py",
        "            if self._stream.messages == most:",
        "            if False:",
    ),
    Mutation(
        "messages that wait for a slice are forgotten",
        "node/api/grpc/streaming.py",
        "        self._guarded(lambda: self._read(self._body))",
        '        self._guarded(lambda: self._read(b""))',
    ),
    Mutation(
        "so many messages of all streams come in at once",
        _HTTP2 + "receiving.py",
        "or self.messages_taken >= messages_most",
        "or self.messages_taken >= 10**9",
    ),
    Mutation(
        "a message that is cut short is passed over",
        _GRPC + "streaming.py",
        "        if self._body:\n            raise",
        "        if False:\n            raise",
    ),
    Mutation(
        "a handler is never told to stop",
        _GRPC + "streaming.py",
        "return self._stream.wants_more",
        "return True",
    ),
    Mutation(
        "a handler does not learn that its client is gone",
        _GRPC + "streaming.py",
        "        handler, self._handler = self._handler, None\n        if handler is not None:\n",
        "        handler, self._handler = self._handler, None\n        if False:\n",
    ),
    Mutation("keep-alives are without bound", _GRPC + "leases.py", ">= UNDER_WAY_MAX:", ">= 10**9:"),
    Mutation(
        "who has said all gets no answer to what it said last",
        _GRPC + "leases.py",
        "        self._half_closed = True\n        if not self._under_way:\n",
        "        self._half_closed = True\n        if True:\n",
    ),
    Mutation(
        "a stream of keep-alives never ends",
        _GRPC + "leases.py",
        "        if self._half_closed and not self._under_way:\n",
        "        if False:\n",
    ),
    Mutation("who takes nothing may ask without end", _GRPC + "watches.py", "if self._asked > ASKED_MAX:", "if False:"),
    Mutation(
        "watches stay when their client has said all",
        _GRPC + "watches.py",
        "        self.gone()\n        self._call.end()\n",
        "        self._call.end()\n",
    ),
    Mutation(
        "the rest of a history is not told", _GRPC + "watches.py", "elif stream.more and self._room:", "elif False:"
    ),
    Mutation(
        "who takes its answers late gets no more",
        _GRPC + "watches.py",
        "        self._room, self._asked = True, 0\n        self._ready()\n",
        "        self._room, self._asked = True, 0\n",
    ),
    Mutation(
        "all are told what lived before, once one is",
        _GRPC + "news.py",
        "made = event.protobuf_with_previous if with_previous else event.protobuf",
        "made = event.protobuf_with_previous or event.protobuf",
    ),
    Mutation(
        "nobody is told from where on history is kept",
        _GRPC + "news.py",
        '        _number(b"\\x28", response.compact_revision),\n',
        "",
    ),
    Mutation("a body of two messages is one", _GRPC + "unary.py", "if len(body) != PREFIX_BYTES + size:", "if False:"),
    Mutation("what is compressed is read", _GRPC + "unary.py", "    if flag:\n", "    if False:\n"),
    Mutation("milliseconds are microseconds", _GRPC + "status.py", 'b"m": 1000', 'b"m": 1'),
    Mutation("every read is stale", _GRPC + "quick.py", 'if message.get("serializable", False):', "if True:"),
    Mutation(
        "of two alternatives both are given",
        _GRPC + "wire.py",
        "        for other in known.others:\n            message.pop(other, None)\n        number, at",
        "        number, at",
    ),
)

OF_HTTP2 = (
    Mutation(
        "streams do not share their connection's window",
        _HTTP2 + "stream.py",
        "min(self.send_window, sender.send_window, FRAME_BYTES_MAX)",
        "min(self.send_window, FRAME_BYTES_MAX)",
    ),
    Mutation(
        "a window that is smaller than before is not",
        _HTTP2 + "streams.py",
        "            stream.send_window += more\n            if stream",
        "            stream.send_window += max(more, 0)\n            if stream",
    ),
    Mutation(
        "answers that are not taken are without bound",
        _HTTP2 + "streams.py",
        "or self._held > HELD_BYTES_MAX",
        "",
    ),
    Mutation(
        "our window never opens again",
        _HTTP2 + "receiving.py",
        "if self._received >= CONNECTION_WINDOW // 2:",
        "if False:",
    ),
    Mutation(
        "a header block has any number of frames",
        _HTTP2 + "receiving.py",
        " or continuations > CONTINUATIONS_MAX",
        "",
    ),
    Mutation(
        "who was asked to leave begins anew",
        _HTTP2 + "receiving.py",
        "        if self.retiring:\n            self._blocks.skip(block)",
        "        if False:\n            self._blocks.skip(block)",
    ),
    Mutation(
        "pings that answer our frames are a flood",
        _HTTP2 + "floods.py",
        "(self._frames - frames) * kind.each_frame",
        "0",
    ),
    Mutation(
        "a block means what it meant before the table changed",
        _HTTP2 + "blocks.py",
        "        if changed or full:",
        "        if full:",
    ),
    Mutation(
        "trailers leave remembered blocks as they are",
        _HTTP2 + "blocks.py",
        "        self._forget()\n        check_trailers",
        "        check_trailers",
    ),
    Mutation(
        "blocks that are passed over leave remembered ones as they are",
        _HTTP2 + "blocks.py",
        "        self._forget()\n        self._read(block)\n",
        "        self._read(block)\n",
    ),
    Mutation("a path may be given twice", _HTTP2 + "fields.py", " or name in pseudo:", ":"),
)

OF_THE_CLIENT = (
    Mutation(
        "a revision that broke off is heard twice",
        _WATCHING,
        "        self.began = False\n        self._held.clear()\n",
        "        self.began = False\n",
    ),
    Mutation("the last revision is heard again", _WATCHING, "heard_until + 1)", "heard_until)"),
    Mutation(
        "the client tells a revision before all of it is there",
        _WATCHING,
        "        if heard_until is None:\n            return []\n",
        "        if heard_until is None:\n            return [self._held.pop()] if self._held else []\n",
    ),
    Mutation("a client goes back", _WATCHING, "max(self.next, heard_until + 1)", "heard_until + 1"),
    Mutation("nobody is told that history is gone", _WATCHING, 'if kind == b"compacted":', "if False:"),
    Mutation("history that is gone is asked for on and on", _WATCHING, "if answer.status == 410 and", "if False and"),
    Mutation("an event may be of any length", _WATCHING, "if len(waiting) > BLOCK_BYTES_MAX:", "if False:"),
    Mutation(
        "an end that comes in two pieces is overlooked",
        _WATCHING,
        "searched = max(0, len(waiting) - 1)",
        "searched = len(waiting)",
    ),
    Mutation(
        "a lease is counted from when it was answered",
        _LEASES,
        "        self._ends_at = asked_at + self.ttl_s\n",
        "        self._ends_at = loop.time() + self.ttl_s\n",
    ),
    Mutation(
        "a lease that came too late is held",
        _LEASES,
        "if self.lost.is_set() or loop.time() >= asked_at + self.ttl_s:",
        "if self.lost.is_set():",
    ),
    Mutation(
        "nobody learns that the cluster ended a lease",
        _LEASES,
        "                else:\n                    self.lost.set()\n",
        "",
    ),
    Mutation(
        "nobody learns that nothing was heard for too long",
        _LEASES,
        "        self._alarm = loop.call_at(self._ends_at, self.lost.set)\n",
        "",
    ),
    Mutation("a lease that is left lives on", _LEASES, 'await self._ask("revoke"', 'await self._ask("keepalive"'),
)

OF_SHARES = (
    Mutation(
        "a long message does not wait for room",
        _GRPC + "unary.py",
        "                self._stream.held_back = True\n",
        "                self._stream.admit(self._limit)\n",
    ),
    Mutation(
        "who cancels has nothing under way any more",
        _GRPC + "unary.py",
        "        if not self._begun:\n            self._give_back()",
        "        self._give_back()",
    ),
    Mutation(
        "what is done is under way for ever",
        _GRPC + "unary.py",
        "        self._give_back()\n        if self._stream.done:",
        "        if self._stream.done:",
    ),
    Mutation(
        "short messages are without bound",
        _GRPC + "unary.py",
        "if not self._share.take_short(len(body)):",
        "if self._share.take_short(len(body)) is None:",
    ),
    Mutation(
        "a client may have all requests",
        _GRPC + "door.py",
        "        if stream.share.exceeded:",
        "        if False:",
    ),
    Mutation("keep-alives are no requests", _GRPC + "leases.py", "        share.requests += 1\n", ""),
    Mutation("keep-alives are under way for ever", _GRPC + "leases.py", "        self._call.share.done()\n", ""),
    Mutation("a request is one for ever", _HTTP2 + "streams.py", "            self.share.requests -= 1\n", ""),
    Mutation(
        "what is held is without bound",
        _HTTP2 + "shares.py",
        "return self.held_bytes <= self.held_max and not self._counts.full",
        "return True",
    ),
    Mutation("a stream holds what it held", _GRPC + "streaming.py", "        self._hold(0)\n", ""),
    Mutation(
        "gRPC has room of its own",
        _HTTP2 + "connections.py",
        "None if clients is None else clients.bodies",
        "None",
    ),
    Mutation(
        "whose connection was given up is waited for",
        _HTTP2 + "connection.py",
        "        self._share.leave(self._wait)\n",
        "",
    ),
    Mutation("nobody is read again", _HTTP2 + "shares.py", "            come_in()\n", ""),
)

MUTATIONS = (*OF_TURNS, *OF_GRPC, *OF_HTTP2, *OF_SHARES, *OF_THE_CLIENT)

_GRPC_TESTS = ("test_news.py", "test_streaming.py", "test_services.py", "test_wire.py", "test_answers.py")
_HTTP2_TESTS = tuple(f"../http2/{name}.py" for name in ("test_blocks", "test_windows", "test_floods"))
_TESTS = {
    OF_TURNS: ("test_turns.py", "test_news.py"),
    OF_GRPC: _GRPC_TESTS,
    OF_HTTP2: _HTTP2_TESTS,
    OF_SHARES: ("test_shares.py",),
    OF_THE_CLIENT: ("../client/test_watching.py", "../client/test_lease.py", "../api/test_watch.py"),
}


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    files = {file: None for group, tests in _TESTS.items() if mutation is None or mutation in group for file in tests}
    beside = [f"tests/{folder}" for folder in ("api", "client", "etcd", "http2", "observe")]
    return passes(mutation, ROOM, "tests/grpc", files, beside, ASYNC)


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
