"""The busiest calls without a task: a write, a small transaction, and the range of one key.

Why it exists: to wait in a task costs as much as all the rest of such a call. What is checked, and what is answered, is
what `calls` says; only the waiting is another. It must not know HTTP/2.
"""

from collections.abc import Callable
from typing import Protocol

from node.api.etcd.calls import Answered, EtcdCalls, ReadableStore, answered
from node.api.etcd.requests import only_reads, range_of, txn_of
from node.api.etcd.schema import Message
from node.api.grpc.methods import Reply
from node.api.slices import at_once
from node.observe.metrics import Metrics
from node.runtime.ports import Outcome, ReadFailed
from node.statemachine.permitting import NOBODY
from node.statemachine.writes import StoreWrite, encode_write

TXN_BYTES_MAX = 8 * 1024
"""A longer transaction is read in slices."""


class Submitter(Protocol):
    """A node that answers by a call."""

    def submit_write(self, write: bytes, timeout_us: int | None, reply: Callable[[Outcome], None]) -> None: ...
    def submit_read(self, timeout_us: int | None, reply: Callable[[ReadFailed | None], None]) -> None: ...


class QuickCalls:
    """Each is a `Quick`."""

    def __init__(self, calls: EtcdCalls, node: Submitter, store: ReadableStore, metrics: Metrics) -> None:
        self._calls, self._node, self._store, self._metrics = calls, node, store, metrics

    def put(self, message: Message, size: int, timeout_us: int | None, reply: Reply) -> bool:
        """A PutRequest."""
        return self._write(self._calls.checked_put(message, size), timeout_us, reply)

    def delete_range(self, message: Message, size: int, timeout_us: int | None, reply: Reply) -> bool:
        """A DeleteRangeRequest."""
        return self._write(self._calls.checked_delete(message, size), timeout_us, reply)

    def txn(self, message: Message, size: int, timeout_us: int | None, reply: Reply) -> bool:
        """A small TxnRequest that may write."""
        if size > TXN_BYTES_MAX:
            return False
        txn = at_once(txn_of(message))
        if only_reads(txn):
            return False
        self._calls.check_txn(txn, size)
        return self._write(txn, timeout_us, reply)

    def range(self, message: Message, _size: int, timeout_us: int | None, reply: Reply) -> bool:
        """A RangeRequest of one key, of now."""
        users = self._calls.users
        was_open = not users.in_force
        asker = NOBODY if was_open else users.asker_now()
        if message.get("range_end") or message.get("revision") or asker is None:
            return False
        wanted = range_of(message)

        def read() -> Answered:
            if was_open:
                users.check_still_open()
            elif users.in_force:
                users.check_read(asker, wanted.key)
            return answered(self._store.read(wanted))

        if message.get("serializable", False):
            self._metrics.read("stale")
            reply(read)
            return True

        def confirmed(failed: ReadFailed | None) -> None:
            def find() -> Answered:
                self._calls.check_barrier(failed)
                return read()

            reply(find)

        self._node.submit_read(timeout_us, confirmed)
        return True

    def _write(self, command: StoreWrite, timeout_us: int | None, reply: Reply) -> bool:
        def told(outcome: Outcome) -> None:
            reply(lambda: self._calls.written(outcome))

        write = self._calls.users.marked_now(encode_write(command))
        if write is None:
            return False
        self._node.submit_write(write, timeout_us, told)
        return True
