"""One node, put together: the only place where concrete classes meet, and where time, chance and identity begin.

Why it exists: every other module is written against ports; somebody has to choose. It must not decide anything else.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable

import uvloop
from aiohttp import web

from node import __version__, file_limits
from node.api.clients import Clients
from node.api.etcd.express import EtcdExpress
from node.api.etcd.routes import EtcdApi
from node.api.events import EventsApi
from node.api.express import Express
from node.api.gate import Gate
from node.api.server import ApiRunner, build_app
from node.dashboard.routes import add_dashboard
from node.discovery.static import StaticDiscovery
from node.fault_control import FaultControl
from node.leaving import StopSignals, leave
from node.observe.lines import Lines
from node.observe.logs import configure_logging, transition_logger
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import Turns, stall_detail
from node.raft.core import Raft
from node.raft.effects import ConfigChanged
from node.raft.errors import InvariantViolation
from node.raft.messages import Lane
from node.raft.settings import RaftSettings
from node.raft.state import Identity
from node.runtime.driver import Driver
from node.runtime.hooks import Hooks
from node.runtime.ports import Address
from node.runtime.shell import Shell, Surroundings, monotonic_us, wall_us
from node.settings import Settings
from node.statemachine.describe import describe
from node.statemachine.store import KeyValueStore
from node.storage.errors import StorageError
from node.storage.files import prepare_folder
from node.storage.recovery import Recovered
from node.storage.wal import Wal, open_wal
from node.transport.links import OnLink, PeerLinks
from node.transport.settings import LinkSettings
from node.transport.websocket import WebSocketCarrier

EXIT_STOPPED = 0
EXIT_ADDRESS = 2
EXIT_LIMIT = 2
EXIT_STORAGE = 3
EXIT_INVARIANT = 70
"""EX_SOFTWARE: the node found itself in a state that Raft excludes, and stopped rather than go on."""

ANSWER_S = 0.25
"""How long the answers to what was cut short have to leave."""

_LOG = logging.getLogger("node")


def run(settings: Settings) -> int:
    """Run one node until SIGTERM or SIGINT; the process's exit code: 0 stopped, 2 an address cannot be used or there
    are too few file descriptors, 3 storage, 70 a broken invariant. What went wrong is one line on standard error."""
    lines = Lines(sys.stderr.fileno())
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(settings, lines))
    finally:
        lines.close()


async def _run(settings: Settings, lines: Lines) -> int:
    return await _Node(settings, lines).run()


class _Node:
    """From settings to a running node, and back down in the opposite order."""

    def __init__(self, settings: Settings, lines: Lines) -> None:
        self._settings = settings
        self._lines = lines
        self._boot = secrets.token_hex(8)
        self._chance = random.Random(settings.chance_seed)  # None: from the system
        self._client_url = settings.client_url or f"http://{_in_url(settings.host)}:{settings.port}"
        self._signals = StopSignals()
        self._failure: Exception | None = None
        self._turns = Turns(time.perf_counter, time.thread_time, settings.election_timeout_ms.low / 2000)
        self._gate = Gate(self._turns, asyncio.get_running_loop().call_soon)
        self._on_sync: Callable[[float], None] = _ignore
        self._addresses: Callable[[], dict[str, Address]] = dict
        self._look_up: Callable[[], None] = lambda: None

    async def run(self) -> int:
        """Everything up, wait, everything down."""
        trace = self._make_trace()
        loop = asyncio.get_running_loop()
        self._turns.told = lambda stall: trace.transition("stalled", trace.term, trace.role, stall_detail(stall))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.ask)
        try:
            async with contextlib.AsyncExitStack() as stack:
                shell = await self._start(stack, trace, loop)
                trace.transition("started", trace.term, trace.role, {"boot": self._boot, "version": __version__})
                await self._signals.asked.wait()
                if self._failure is None:
                    wait_ms = self._settings.leave_wait_ms
                    trace.transition("leaving", trace.term, trace.role, {"wait_ms": wait_ms})
                    await leave(shell, self._runner.retire_connections, self._signals, wait_ms / 1000)
                if self._failure is not None:
                    shell.stop()  # nothing that waits can be done any more: answer it now, not at its time limit
                reason = f"{self._failure}" if self._failure else "asked to stop"
                trace.transition("stopping", trace.term, trace.role, {"reason": reason})
        except StorageError as error:
            self._failure = error
        except (OSError, file_limits.TooFewFiles) as error:
            self._failure = error
        return self._exit_code()

    async def _start(self, stack: contextlib.AsyncExitStack, trace: Trace, loop: asyncio.AbstractEventLoop) -> Shell:
        """Bottom up: disk, core and driver, links, API. What is pushed on `stack` goes down in reverse."""
        settings = self._settings
        names = tuple(seed.name for seed in settings.seeds)
        peers = tuple(name for name in names if name != settings.name)
        files = file_limits.divide(file_limits.raise_limit(), file_limits.used_now(), len(peers))
        _LOG.info(files.words())
        faults = FaultControl(trace, loop) if settings.enable_faults else None
        shell = self._make_shell(peers, faults)
        wal, recovered = self._open_log(loop, shell)
        stack.callback(wal.close)
        links = PeerLinks(
            name=settings.name,
            incarnation=recovered.incarnation,
            boot=self._boot,
            cluster_id=recovered.cluster_id,
            deliver=shell.deliver,
            on_link=_link_tracer(trace),
        )
        self._links = links
        discovery = StaticDiscovery({seed.name: (seed.host, seed.port) for seed in settings.seeds})
        stack.push_async_callback(discovery.close)
        faulty = faults.wrap(links, peers, self._chance) if faults is not None else None
        carrier = WebSocketCarrier(
            name=settings.name,
            peers=peers,
            host=settings.peer_host,
            port=settings.peer_port or settings.own_seed.port,
            resolver=discovery,
            receiver=faulty or links,
            chance=self._chance,
            settings=LinkSettings(half_open_max=files.half_open),
        )
        links.attach(faulty or carrier)
        if faulty is not None:
            faulty.attach(carrier)
            stack.callback(faulty.close)
        self._reset_links = (faulty or carrier).reset
        self._addresses = lambda: _addresses(discovery, loop.time())
        self._look_up = lambda: _look_up(discovery, carrier, peers)
        store = KeyValueStore()
        driver = self._make_driver(recovered, names, wal, store, links, trace, shell)
        self._watch(driver, wal, store, links, shell)
        shell.attach(driver, loop)
        stats = Stats(
            trace,
            links.traffic,
            lambda: driver.latency.summary(monotonic_us()),
            faults.active if faults is not None else tuple,
            faults.injections if faults is not None else {},
            turns=self._turns,
        )
        metrics = Metrics(
            shell.status, trace, shell.loop_age_us, store, stats, self._turns, lambda: self._lines.lost, self._clients
        )
        self._on_sync = metrics.fsync
        stack.push_async_callback(carrier.close)
        await carrier.start()
        stack.callback(shell.stop)
        shell.start()
        stack.callback(self._turns.stop)
        self._turns.start(loop)
        app = build_app(
            shell,
            store,
            trace,
            metrics,
            allowed_hosts=settings.allowed_hosts,
            events=EventsApi(trace, streams_max=files.streams, turn=self._gate.turn),
            with_index=False,
            stats=stats,
            faults_enabled=settings.enable_faults,
            failing=faults.failing if faults is not None else None,
        )
        add_dashboard(app, settings.name)
        routes = EtcdExpress(EtcdApi(shell, store, metrics, lambda: trace.term), shell, store, metrics).routes()
        express = Express(routes, settings.allowed_hosts, faults.failing if faults else None)
        await self._serve(app, express, stack, shell, files.clients)
        return shell

    def _clients(self) -> Clients:
        return self._runner.clients

    def _watch(self, driver: Driver, wal: Wal, store: KeyValueStore, links: PeerLinks, shell: Shell) -> None:
        """Measure what holds the loop; requests are measured where they come in."""
        self._turns.watch(driver, "driver", "handle")
        self._turns.watch(wal, "wal", "flush")
        self._turns.watch(store, "apply", "apply")
        self._turns.watch(links, "links", "on_frame")
        self._turns.watch(shell, "report", "tell_everyone")

    def _make_trace(self) -> Trace:
        settings = self._settings
        trace = Trace(
            settings.name,
            self._boot,
            wall_us,
            transitions_max=settings.trace_transitions,
            messages_max=settings.trace_messages,
            listener=transition_logger(_LOG),
        )
        human = None if settings.log_format == "json" else True
        now, level = lambda: (trace.term, trace.role), settings.log_level.upper()
        configure_logging(settings.name, now, level, human=human, lines=self._lines)
        return trace

    def _open_log(self, loop: asyncio.AbstractEventLoop, shell: Shell) -> tuple[Wal, Recovered]:
        settings = self._settings
        mode = settings.fsync_mode

        def deliver(report: Callable[[], None]) -> object:
            return loop.call_soon_threadsafe(shell.guarded, report)

        def turn(write: Callable[[], None]) -> object:
            return loop.call_soon(shell.guarded, self._turns.timed("wal", write))

        return open_wal(
            prepare_folder(settings.data_dir, self._timed),
            settings.name,
            secrets.token_hex(8),
            self._fail,
            deliver=None if mode == "inline" else deliver,
            turn=turn if mode == "adaptive" else None,
            clock=time.perf_counter,
            segment_bytes=settings.segment_bytes,
        )

    def _timed(self, sync: Callable[[], None]) -> None:
        """Put a clock round a sync of the log; runs on the thread that syncs."""
        began = time.perf_counter()
        sync()
        self._on_sync(time.perf_counter() - began)

    def _make_shell(self, peers: tuple[str, ...], faults: FaultControl | None) -> Shell:
        return Shell(
            Surroundings(
                boot=self._boot,
                version=__version__,
                client_url=self._client_url,
                request_timeout_us=self._settings.request_timeout_ms * 1000,
                peers=peers,
                links_up=lambda: tuple(peer for peer in peers if self._links.connected(peer)),
                send=lambda to, message: self._links.send(to, message),
                fatal=self._fail,
                reset_links=lambda peer: self._reset_links(peer),
                faults=faults,
                describe=describe,
                election_timeout_us=self._settings.election_timeout_ms.high * 1000,
                addresses=lambda: self._addresses(),
                look_up=lambda: self._look_up(),
                deadline_is_due=self._gate.shut,
            ),
            self._settings.name,
        )

    def _make_driver(
        self,
        recovered: Recovered,
        names: tuple[str, ...],
        wal: Wal,
        store: KeyValueStore,
        links: PeerLinks,
        trace: Trace,
        shell: Shell,
    ) -> Driver:
        def configured(change: ConfigChanged) -> None:
            links.set_cluster_id(change.cluster_id)

        identity = Identity(self._settings.name, recovered.incarnation, self._boot, names)
        core = Raft(identity, _raft_settings(self._settings), self._chance, recovered.hard_state, recovered.entries)
        hooks = Hooks(
            wake=shell.wake,
            configuration=configured,
            report=shell.on_report,
            report_wanted=shell.on_report_wanted,
            command=shell.on_command,
        )
        return Driver(core, self._boot, wal, store, links, trace, hooks)

    async def _serve(
        self, app: web.Application, express: Express, stack: contextlib.AsyncExitStack, shell: Shell, clients_max: int
    ) -> None:
        settings = self._settings
        drain_s = settings.request_timeout_ms / 1000
        runner = self._runner = ApiRunner(
            app, express, gate=self._gate, clients_max=clients_max, drain_seconds_max=drain_s + ANSWER_S
        )
        await runner.setup()
        stack.push_async_callback(self._drain, runner, shell, drain_s)
        await runner.listen(settings.host, settings.port)

    async def _drain(self, runner: ApiRunner, shell: Shell, drain_s: float) -> None:
        """No new connections; what is under way is answered by then, also the writes that peers forwarded."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + drain_s
        cut_short = loop.call_at(ends_at, shell.stop)  # answers whatever still waits, honestly
        await runner.cleanup()
        await shell.quiet(max(0.0, ends_at - loop.time()))
        cut_short.cancel()

    def _fail(self, error: Exception) -> None:
        """Storage or the driver cannot go on: remember the first reason, and end."""
        if self._failure is None:
            self._failure = error
        self._signals.fail()

    def _exit_code(self) -> int:
        failure = self._failure
        if failure is None:
            return EXIT_STOPPED
        sentence = str(failure)
        code = EXIT_INVARIANT
        if isinstance(failure, StorageError):
            code = EXIT_STORAGE
        elif isinstance(failure, OSError):
            settings = self._settings
            sentence = (
                f"cannot listen on {settings.host}:{settings.port} and "
                f"{settings.peer_host}:{settings.peer_port or settings.own_seed.port} "
                f"({failure.strerror or failure}): choose other ports, or end what uses these"
            )
            code = EXIT_ADDRESS
        elif isinstance(failure, file_limits.TooFewFiles):
            code = EXIT_LIMIT
        elif not isinstance(failure, InvariantViolation):
            _LOG.critical("the node stops because of a bug", exc_info=failure)
        self._lines.put(f"raft-node {self._settings.name}: {sentence}")
        return code


def _raft_settings(settings: Settings) -> RaftSettings:
    return RaftSettings(
        heartbeat_us=settings.heartbeat_ms * 1000,
        election_min_us=settings.election_timeout_ms.low * 1000,
        election_max_us=settings.election_timeout_ms.high * 1000,
        append_bytes_max=settings.max_append_bytes,
        inflight_messages_max=settings.inflight_messages,
        inflight_bytes_max=settings.inflight_bytes,
        uncommitted_bytes_max=settings.max_uncommitted_bytes,
        log_bytes_max=settings.max_log_bytes,
        wait_in_initial=settings.wait_in_initial,
    )


def _addresses(discovery: StaticDiscovery, now_s: float) -> dict[str, Address]:
    return {
        name: Address(
            seen.host,
            seen.port,
            seen.addresses,
            seen.error,
            None if seen.at_s is None else int((now_s - seen.at_s) * 1e6),
        )
        for name, seen in discovery.seen().items()
    }


def _look_up(discovery: StaticDiscovery, carrier: WebSocketCarrier, peers: tuple[str, ...]) -> None:
    discovery.look_up_all()
    for peer in peers:
        carrier.dial_now(peer)


def _ignore(_seconds: float) -> None:
    """Syncs before there are metrics: those of the recovery."""


def _link_tracer(trace: Trace) -> OnLink:
    def on_link(peer: str, lane: Lane, direction: str, up: bool, reason: str) -> None:
        detail: dict[str, str | int | bool] = {
            "peer": peer,
            "lane": lane.name.lower(),
            "direction": direction,
            "up": up,
            "reason": reason,
        }
        trace.transition("link", trace.term, trace.role, detail)

    return on_link


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
