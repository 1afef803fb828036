"""One node, put together: the only place where concrete classes meet, and where time, chance and identity begin.

Why it exists: every other module is written against ports; somebody has to choose. It must not decide anything else.

Everything is made in one order, bottom up, and given what was made before it. Two things are needed below before they
can be complete, and are therefore made in two phases of their own: the shell, whose inbox the links and the log's
worker fill, gets its driver by `attach`; the clock round the log's syncs gets its listener by `tell`.
"""

import asyncio
import contextlib
import gc
import logging
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import uvloop

from node import __version__, file_limits
from node.admitting import Admitted, admit, look_at_users
from node.api.clients import Clients
from node.api.etcd.express import EtcdExpress
from node.api.etcd.routes import EtcdApi
from node.api.etcd.users import Users
from node.api.express import Express
from node.api.gate import Gate
from node.api.grpc.services import Beside, grpc_door
from node.api.http2.connections import Http2
from node.api.http2.counts import Counts
from node.api.operations_port import OPERATIONS_CLIENTS_MAX, operations_runner
from node.api.quota import Quota
from node.api.server import ApiRunner, build_app
from node.api.slices import Slices
from node.assembly import Core, assemble
from node.compacting import AutoCompaction
from node.dashboard.routes import add_dashboard
from node.exits import exit_of
from node.fault_control import FaultControl
from node.leaving import StopSignals, leave
from node.observe.lines import Lines
from node.observe.logs import configure_logging, log_the_unforeseen, transition_logger
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import Turns, stall_detail
from node.raft.types import Role
from node.recovering import Opened, Surroundings, SyncClock, client_url, own_address, recover
from node.runtime.handle import Handle
from node.runtime.looking import About
from node.runtime.shell import Shell, monotonic_us, wall_us
from node.securing import Secured, secure
from node.settings import Settings, remarks
from node.tracing.writes import TracedWrite
from node.transport.port import CarrierMaker

ANSWER_S = 0.25
"""How long the answers to what was cut short have to leave."""

_LOG = logging.getLogger("node")


def run(settings: Settings, carrying: CarrierMaker | None = None) -> int:
    """Run one node until SIGTERM or SIGINT, its peer links over WebSockets where `carrying` is None; the process's exit
    code: 0 stopped, 2 an address cannot be used or there are too few file descriptors, 3 storage, 70 a broken
    invariant. What went wrong is one line on standard error."""
    lines = Lines(sys.stderr.fileno())
    log_the_unforeseen(_LOG)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(settings, lines, carrying))
    finally:
        lines.close()


async def _run(settings: Settings, lines: Lines, carrying: CarrierMaker | None) -> int:
    return await _Node(settings, lines, carrying).run()


class _Running(NamedTuple):
    """What is needed of a node that is up, to take it down again."""

    shell: Shell
    handle: Handle
    server: ApiRunner


class _Node:
    """From settings to a running node, and back down in the opposite order."""

    def __init__(self, settings: Settings, lines: Lines, carrying: CarrierMaker | None = None) -> None:
        self._settings = settings
        self._carrying = carrying
        self._lines = lines
        self._boot = secrets.token_hex(8)
        self._chance = random.Random(settings.chance_seed)  # None: from the system
        self._signals = StopSignals()
        self._failure: Exception | None = None
        self._turns = Turns(time.perf_counter, time.thread_time, settings.election_timeout_ms.low / 2000)
        self._gate = Gate(self._turns, asyncio.get_running_loop().call_soon)

    async def run(self) -> int:
        """Everything up, wait, everything down."""
        trace = self._make_trace()
        loop = asyncio.get_running_loop()
        self._turns.told = lambda stall: trace.transition("stalled", trace.term, trace.role, stall_detail(stall))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.ask)
        for remark in remarks(self._settings):
            _LOG.warning("%s", remark)
        try:
            async with contextlib.AsyncExitStack() as stack:
                running = await self._start(stack, trace, loop)
                if running is not None:
                    await self._serve_until_asked(running, trace)
                reason = f"{self._failure}" if self._failure else "asked to stop"
                trace.transition("stopping", trace.term, trace.role, {"reason": reason})
        except Exception as error:
            self._failure = self._failure or error
        code, sentence = exit_of(self._failure, self._settings, has_peer_port=self._carrying is None)
        if sentence:
            self._lines.put(f"raft-node {self._settings.name}: {sentence}")
        return code

    async def _serve_until_asked(self, running: _Running, trace: Trace) -> None:
        trace.transition("started", trace.term, trace.role, {"boot": self._boot, "version": __version__})
        await self._signals.asked.wait()
        if self._failure is None:
            wait_ms = self._settings.leave_wait_ms
            trace.transition("leaving", trace.term, trace.role, {"wait_ms": wait_ms})
            await leave(running.handle, running.server.retire_connections, self._signals, wait_ms / 1000)
        if self._failure is not None:
            running.shell.stop()  # nothing that waits can be done any more: answer it now, not at its time limit

    async def _start(
        self, stack: contextlib.AsyncExitStack, trace: Trace, loop: asyncio.AbstractEventLoop
    ) -> _Running | None:
        """Bottom up: log and core, links and driver, API. What is pushed on `stack` goes down in reverse.

        None: this process was asked to stop while it still read its log."""
        settings = self._settings
        peers = sum(seed.name != settings.name for seed in settings.seeds)
        watching = OPERATIONS_CLIENTS_MAX if settings.operations_port else 0
        files = file_limits.divide(file_limits.raise_limit(), file_limits.used_now(), peers, watching)
        _LOG.info(files.words())
        admitted = admit(settings, trace)
        secured = secure(settings, trace, self._gate, wall_us, admitted.tokens)
        timeouts_us = settings.request_timeout_ms * 1000, settings.election_timeout_ms.high * 1000
        shell = Shell(loop, self._fail, *timeouts_us, deadline_is_due=self._gate.shut)
        syncs = SyncClock(time.perf_counter)
        opened = await self._recover(shell, syncs)
        if opened is None:
            return None
        stack.callback(opened.close)
        gc.freeze()  # modules, and the list of the log's entries: nothing of it is ever garbage
        faults = FaultControl(trace, loop) if settings.enable_faults else None
        scheme = "https" if settings.peer_tls_dial == "tls" else "http"
        about = About(settings.name, self._boot, __version__, client_url(settings), scheme, own_address(settings))
        core = assemble(
            settings,
            about,
            opened,
            shell,
            trace,
            faults,
            self._chance,
            files.half_open,
            stack,
            secured.peers,
            self._trace_writes(stack),
            self._carrying,
        )
        stats = Stats(
            trace,
            core.links.traffic,
            lambda: core.driver.latency.summary(monotonic_us()),
            faults.active if faults is not None else tuple,
            faults.injections if faults is not None else {},
            core.driver.counts,
            core.driver.unsent,
            shell.dropped,
            self._turns,
            core.links.counters.by_reason,
        )
        clients, http2 = Clients(files.clients, loop), Counts()
        clients.bodies.log_room = lambda: core.driver.core.log_room_bytes
        clients.bodies.log_most = settings.max_log_bytes // 2
        metrics = Metrics(
            core.looking.status,
            trace,
            shell.loop_age_us,
            core.store,
            stats,
            self._turns,
            lambda: self._lines.lost,
            clients,
            core.hub,
            http2,
            secured.counts,
            admitted.counts,
        )
        self._watch(core, opened)
        syncs.tell(metrics.fsync)
        stack.push_async_callback(core.carrier.close)
        await core.carrier.start()
        stack.callback(shell.stop)
        shell.start()
        core.looking.start_reporting()
        AutoCompaction(
            lambda: core.driver.core.role is Role.LEADER,
            core.store,
            lambda write: core.handle.submit_write(write, None, lambda _outcome: None),
            shell.later,
            settings.auto_compaction_minutes * 60.0,
            settings.auto_compaction_revisions,
        ).start()
        core.begin_to_let_in()
        stack.callback(self._turns.stop)
        self._turns.start(loop)
        server = self._make_server(
            core, trace, metrics, stats, faults, clients, http2, files.streams, secured, admitted
        )
        look_at_users(admitted.access, shell.later)
        stack.callback(secured.watcher.stop)
        secured.watcher.start()
        await self._serve_operations(core, metrics, secured, stack)
        await self._serve(server, stack, shell)
        if core.registrar is not None:
            stack.push_async_callback(core.registrar.stop)
            core.registrar.start()
        return _Running(shell, core.handle, server)

    def _trace_writes(self, stack: contextlib.AsyncExitStack) -> Callable[[TracedWrite], None] | None:
        """What makes spans of OpenTelemetry; None: nobody wants them."""
        if not self._settings.otlp_endpoint:
            return None
        from node.tracing.spans import Spans  # an extra, and slow to import

        spans = Spans(self._settings.otlp_endpoint, self._settings.name, self._boot, __version__)
        stack.callback(spans.close)
        return spans.write

    def _watch(self, core: Core, opened: Opened) -> None:
        """Measure what holds the loop; requests are measured where they come in."""
        self._turns.watch(core.driver, "driver", "handle")
        self._turns.watch(core.driver.applying, "apply", "run")
        self._turns.watch(opened.wal, "wal", "flush")
        self._turns.watch(core.links, "links", "on_frame")
        self._turns.watch(core.looking, "report", "tell_everyone")

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

    async def _recover(self, shell: Shell, syncs: SyncClock) -> Opened | None:
        around = Surroundings(
            boot=self._boot,
            new_incarnation=secrets.token_hex(8),
            chance=self._chance,
            clock=time.perf_counter,
            fatal=self._fail,
            guarded=shell.guarded,
        )
        return await recover(self._settings, around, syncs, self._signals.asked)

    def _make_server(
        self,
        core: Core,
        trace: Trace,
        metrics: Metrics,
        stats: Stats,
        faults: FaultControl | None,
        clients: Clients,
        http2: Counts,
        streams_max: int,
        secured: Secured,
        admitted: Admitted,
    ) -> ApiRunner:
        settings, handle, store = self._settings, core.handle, core.store
        failing = faults.failing if faults is not None else None
        quota, slices = Quota(store, settings.quota_bytes), Slices()
        access, users = admitted.access, Users(handle, store, login_failed=admitted.counts.login_failed)
        access.users = users
        app = build_app(
            handle,
            store,
            trace,
            metrics,
            allowed_hosts=settings.allowed_hosts,
            streams_max=streams_max,
            with_index=False,
            stats=stats,
            faults_enabled=settings.enable_faults,
            failing=failing,
            quota=quota,
            hub=core.hub,
            slices=slices,
            access=access,
            users=users,
        )
        etcd = EtcdApi(handle, store, metrics, lambda: trace.term, slices, quota, core.hub, None, users)
        add_dashboard(app, settings.name, access, etcd.auth)
        routes = EtcdExpress(etcd, handle, store, metrics).routes()
        express = Express(routes, settings.allowed_hosts, failing, access)
        beside = Beside(http2, self._gate, failing or bool, settings.request_timeout_ms * 1000, access)
        door = grpc_door(etcd, handle, store, metrics, beside)
        return ApiRunner(
            app,
            express,
            gate=self._gate,
            clients=clients,
            http2=Http2(door.serve, http2, self._gate),
            doorway=secured.clients,
            drain_seconds_max=settings.request_timeout_ms / 1000 + ANSWER_S,
        )

    async def _serve_operations(
        self, core: Core, metrics: Metrics, secured: Secured, stack: contextlib.AsyncExitStack
    ) -> None:
        """Before clients come, and until after they have gone: probes ask all that time."""
        settings = self._settings
        if settings.operations_port:
            runner = operations_runner(core.handle, metrics, Slices(), settings.allowed_hosts, secured.operations)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await runner.listen(settings.host, settings.operations_port)

    async def _serve(self, server: ApiRunner, stack: contextlib.AsyncExitStack, shell: Shell) -> None:
        settings = self._settings
        await server.setup()
        stack.push_async_callback(self._drain, server, shell, settings.request_timeout_ms / 1000)
        await server.listen(settings.host, settings.port)

    async def _drain(self, server: ApiRunner, shell: Shell, drain_s: float) -> None:
        """No new connections; what is under way is answered by then, also the writes that peers forwarded."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + drain_s
        cut_short = loop.call_at(ends_at, shell.stop)  # answers whatever still waits, honestly
        await server.cleanup()
        await shell.quiet(max(0.0, ends_at - loop.time()))
        cut_short.cancel()

    def _fail(self, error: Exception) -> None:
        """Storage or the driver cannot go on: remember the first reason, and end."""
        if self._failure is None:
            self._failure = error
        self._signals.fail()
