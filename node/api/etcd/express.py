"""Put and range of one key as plain clients send them, for the express lane.

Why it exists: see `node.api.express`. Only the forms below are taken; the usual handlers judge all others. Answers,
errors too, are made by the same code as theirs.
"""

import asyncio
import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import Protocol

from node.api.etcd.calls import Answered, ReadableStore, answered
from node.api.etcd.errors import EtcdError
from node.api.etcd.rendering import is_small
from node.api.etcd.routes import EtcdApi
from node.api.express import Answer, Handler
from node.observe.metrics import Metrics
from node.runtime.ports import Outcome, ReadFailed
from node.statemachine.writes import Put, Range, encode_write

_BASE64 = rb'"((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==))"'
_PUT = re.compile(rb'\{ ?"key": ?' + _BASE64 + rb', ?"value": ?' + _BASE64 + rb" ?\}\n?")
_RANGE = re.compile(rb'\{ ?"key": ?' + _BASE64 + rb'(, ?"serializable": ?true)? ?\}\n?')


class Submitter(Protocol):
    """A node that answers by a call; `Shell` satisfies it."""

    def submit_write(self, write: bytes, timeout_us: int | None, reply: Callable[[Outcome], None]) -> None: ...
    def submit_read(self, timeout_us: int | None, reply: Callable[[ReadFailed | None], None]) -> None: ...


class EtcdExpress:
    """Handlers for `Express`. `api` makes the answers."""

    def __init__(self, api: EtcdApi, node: Submitter, store: ReadableStore, metrics: Metrics) -> None:
        self._calls = api.calls
        self._door = api.door
        self._node = node
        self._store = store
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> dict[str, Handler]:
        """By path."""
        return {"/v3/kv/put": self.put, "/v3/kv/range": self.range}

    def put(self, body: bytes, answer: Answer) -> bool:
        """One key, one value."""
        found = _PUT.fullmatch(body)
        if found is None or self._calls.quota.exceeded or self._calls.users.in_force:
            return False  # the framework's lane says why

        def reply(outcome: Outcome) -> None:
            self._send(answer, lambda: self._calls.written(outcome))

        self._node.submit_write(encode_write(Put(a2b_base64(found[1]), a2b_base64(found[2]))), None, reply)
        return True

    def range(self, body: bytes, answer: Answer) -> bool:
        """One key."""
        found = _RANGE.fullmatch(body)
        if found is None or self._calls.users.in_force:
            return False
        wanted = Range(a2b_base64(found[1]))

        def read() -> Answered:
            self._calls.users.check_still_open()
            return answered(self._store.read(wanted))

        def reply(failed: ReadFailed | None) -> None:
            def confirmed() -> Answered:
                self._calls.check_barrier(failed)
                return read()

            self._send(answer, confirmed)

        if found[2] is None:
            self._node.submit_read(None, reply)
        else:
            self._metrics.read("stale")
            self._send(answer, read)
        return True

    def _send(self, answer: Answer, find: Callable[[], Answered]) -> None:
        """Answer with what `find` finds, or with the error that it raises. Many are answered in one turn of the loop,
        so a long value waits for a slice of its own."""
        try:
            found = find()
        except EtcdError as error:
            answer(*self._door.error(error))
            return
        if is_small(found):
            answer(200, self._door.small(found))
            return
        task = asyncio.get_running_loop().create_task(self._send_long(answer, found), name="a long value")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_long(self, answer: Answer, found: Answered) -> None:
        answer(200, await self._door.in_its_turn(found))
