"""A scripted node that speaks gRPC, as the real server does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from node.api.clients import Clients
from node.api.etcd.routes import EtcdApi
from node.api.gate import Gate
from node.api.grpc.door import GrpcDoor
from node.api.grpc.services import Beside, grpc_door
from node.api.http2.connections import Http2
from node.api.http2.counts import Counts
from node.api.quota import UNBOUNDED, Quota
from node.api.server import ApiRunner, build_app
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from node.raft.types import Entry, EntryKind
from node.runtime.ports import Done, Outcome, ReadFailed
from tests.api.double import ScriptedNode

REQUEST_TIMEOUT_US = 5_000_000


class QuickNode(ScriptedNode):
    """Answers calls as well, a turn later. `holding`: it answers none until `let_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.holding = False
        self.held: list[Callable[[], None]] = []

    def submit_write(self, write: bytes, timeout_us: int | None, reply: Callable[[Outcome], None]) -> None:
        self.timeouts_us.append(timeout_us)

        def answer() -> None:
            if self.outcome is not None:
                reply(self.outcome)
                return
            self.proposed.append(write)
            index = len(self.proposed)
            (result,) = self.store.apply([Entry(index, 1, EntryKind.WRITE, write, self.log_time)])
            self.hub.advance()
            reply(Done(result, index, 1))

        self._later(answer)

    def submit_read(self, timeout_us: int | None, reply: Callable[[ReadFailed | None], None]) -> None:
        self.timeouts_us.append(timeout_us)
        self.barriers += 1

        def confirmed() -> None:
            self.do(*self.on_barrier)
            reply(self.read_failure)

        self._later(confirmed)

    def let_go(self) -> None:
        """Answer what was held."""
        self.holding = False
        held, self.held = self.held, []
        for answer in held:
            answer()

    def _later(self, answer: Callable[[], None]) -> None:
        if self.holding:
            self.held.append(answer)
        else:
            asyncio.get_running_loop().call_soon(answer)


async def until(is_so: Callable[[], object]) -> None:
    """Wait for it, 20 s at most."""
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to that")


def google_is_done() -> bool:
    """Whether Google's client has no task any more: it ends one a moment after it told how a call ended."""
    return not any("_AioCall" in repr(task) for task in asyncio.all_tasks())


class Serving:
    """What runs."""

    def __init__(self, node: QuickNode, runner: ApiRunner, door: GrpcDoor, counts: Counts, metrics: Metrics) -> None:
        self.node, self.runner, self.door, self.counts, self.metrics = node, runner, door, counts, metrics
        self.port = runner.addresses[0][1]
        self.failing = False

    @property
    def target(self) -> str:
        """For a client of gRPC."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    gate: Gate | None = None, clients_max: int = 100, quota_bytes: int = UNBOUNDED
) -> AsyncIterator[Serving]:
    """The real server in front of a scripted node."""
    node = QuickNode()
    trace = Trace("n1", "boot-1", lambda: 1)
    counts = Counts()
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store, http2=counts)
    slices, quota = Slices(), Quota(node.store, quota_bytes)
    app = build_app(node, node.store, trace, metrics, quota=quota, slices=slices, hub=node.hub)
    api = EtcdApi(node, node.store, metrics, lambda: 7, slices, quota, node.hub)
    served: list[Serving] = []
    beside = Beside(counts, gate, lambda: bool(served and served[0].failing), REQUEST_TIMEOUT_US)
    door = grpc_door(api, node, node.store, metrics, beside)
    clients = Clients(clients_max, asyncio.get_running_loop())
    http2 = Http2(door.serve, counts, gate)
    runner = ApiRunner(app, gate=gate, clients=clients, http2=http2, drain_seconds_max=1.0)
    await runner.setup()
    try:
        await runner.listen("127.0.0.1", 0)
        served.append(Serving(node, runner, door, counts, metrics))
        yield served[0]
    finally:
        await runner.cleanup()
        await until(google_is_done)
