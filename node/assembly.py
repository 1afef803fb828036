"""From an open log to a node that could run its algorithm: membership, links, faults, what looks and obeys, the driver.

Why it exists: this is the part of the wiring in which everything knows each other; app.py has the order of start and
end around it. Each thing is made from those that were made before it, and everything is still at rest. It may know
every concrete class and must not decide anything.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from node.discovery.asking import RegistryClient
from node.discovery.lookup import Lookup
from node.discovery.port import FollowedDiscovery
from node.discovery.registered import RegistryDiscovery
from node.discovery.static import StaticDiscovery
from node.fault_control import FaultControl
from node.guests import GUESTS_MAX
from node.network import PeerNetwork
from node.observe.trace import Trace
from node.raft.effects import ConfigChanged
from node.raft.messages import Lane
from node.raft.state import Chance
from node.raft.types import MemberAddress, Role
from node.recovering import Opened, own_address, snapshot_settings
from node.registering import Registrar
from node.runtime.applicants import heard_applicants
from node.runtime.auto_members import LOOK_S, AutoMembers
from node.runtime.commanding import Commander
from node.runtime.driver import Driver
from node.runtime.handle import Handle
from node.runtime.hooks import Hooks
from node.runtime.looking import About, Looking
from node.runtime.membership import Membership
from node.runtime.obeying import Obeying
from node.runtime.ports import Storage, StoreSummary, TraceSink
from node.runtime.shell import Shell, monotonic_us, wall_us
from node.settings import Settings
from node.statemachine.describe import describe
from node.statemachine.store import KeyValueStore
from node.tls.peers import PeerTls
from node.tracing.paths import Paths
from node.tracing.taps import TappedStorage, TappedTrace
from node.tracing.writes import TracedWrite, TracedWrites
from node.transport.dialling import Resolver
from node.transport.links import OnLink, PeerLinks
from node.transport.port import Carried, CarrierMaker, RunningCarrier
from node.transport.settings import LinkSettings
from node.transport.websocket import WebSocketCarrier
from node.waiting import Waiting
from node.watch_timers import WatchTimers
from node.watching.hub import WatchHub


class Core(NamedTuple):
    """A node that could run its algorithm, and that nobody can reach yet."""

    store: KeyValueStore
    driver: Driver
    links: PeerLinks
    carrier: RunningCarrier
    looking: Looking
    handle: Handle
    hub: WatchHub
    begin_to_let_in: Callable[[], None]
    """Call once, when the shell runs: see `AutoMembers`."""
    registrar: Registrar | None = None
    """None: there is no registry."""


def assemble(
    settings: Settings,
    about: About,
    opened: Opened,
    shell: Shell,
    trace: Trace,
    faults: FaultControl | None,
    chance: Chance,
    half_open_max: int,
    stack: contextlib.AsyncExitStack,
    secured: Callable[[Callable[[], Mapping[str, str]]], PeerTls] | None = None,
    traced: Callable[[TracedWrite], None] | None = None,
    carrying: CarrierMaker | None = None,
) -> Core:
    """`shell` gets its driver here. What must be closed is pushed on `stack`; the carrier is its starter's to close.
    `secured` None: links are plain; else it is told where members are reached. `traced` None: writes are not traced.
    `carrying` None: WebSockets."""
    membership = Membership(about.name, [MemberAddress(seed.name, seed.host, seed.port) for seed in settings.seeds])
    registry = RegistryClient(settings.registry_url) if settings.registry_url else None
    discovery = _discovery(membership, registry, carrying is None)
    if registry is not None:
        stack.push_async_callback(registry.close)
    stack.push_async_callback(discovery.close)
    address = own_address(settings)
    guests_max = max(1, min(GUESTS_MAX, half_open_max // 4))  # out of the descriptors of strangers: four each
    links = PeerLinks(
        name=about.name,
        incarnation=opened.recovered.incarnation,
        boot=about.boot,
        cluster_id=opened.recovered.cluster_id,
        deliver=shell.deliver,
        on_link=_link_tracer(trace),
        on_process_up=shell.process_up,
        on_process_gone=shell.process_gone,
        address=("", 0) if address is None else (address.host, address.port),
    )
    faulty = faults.wrap(links, membership.peers, chance) if faults is not None else None
    carried = Carried(about.name, membership.peers, faulty or links, chance, guests_max)
    if carrying is None:
        tls = None if secured is None else secured(lambda: {name: at[0] for name, at in membership.addresses().items()})
        carrier = _websockets(settings, carried, discovery, half_open_max, tls)
    else:
        carrier = carrying(carried)
    links.attach(faulty or carrier)
    if faulty is not None:
        faulty.attach(carrier)
        stack.callback(faulty.close)
    network = PeerNetwork(
        membership, discovery, carrier, faulty or carrier, guests_max, hears=links.hears, forget=links.forget
    )
    links.open_door(network)
    stack.callback(network.close)

    hub = WatchHub(opened.store, shell.wake)
    summary = _summing_up(opened.store, hub, settings.quota_bytes)
    looking = Looking(about, shell, membership, links, faults, describe, summary)
    obeying = Obeying(about.name, shell, membership, Commander(about.name, membership, looking, network, faults))

    def configured(change: ConfigChanged) -> None:
        membership.adopt(change.configuration, change.leaving)
        links.set_cluster_id(change.cluster_id)

    hooks = Hooks(
        wake=shell.wake,
        applied=hub.advance,
        configuration=configured,
        report=looking.on_report,
        report_wanted=looking.on_report_wanted,
        command=obeying.on_command,
    )
    storage, sink, tracing = _tapped(opened.wal, trace, shell, settings.otlp_writes_per_second, traced)
    driver = Driver(
        opened.core,
        about.boot,
        storage,
        opened.store,
        links,
        sink,
        hooks,
        opened.snapshots,
        snapshot_settings=snapshot_settings(settings),
        leaderless_wait_us=settings.leaderless_wait_ms * 1000,
    )
    shell.attach(driver)
    handle = Handle(shell, looking, obeying, opened.snapshots, tracing)
    WatchTimers(
        hub,
        shell.later,
        lambda: bool(driver.core.leader),
        settings.watch_progress_ms / 1000,
        settings.election_timeout_ms.high / 1000,
    ).start()
    Waiting(lambda: shell.core.status(monotonic_us()), shell.later).start()
    letting_in = _letting_in(settings, shell, looking, obeying)
    registrar = None if registry is None else Registrar(registry, address, looking.status)
    return Core(opened.store, driver, links, carrier, looking, handle, hub, letting_in, registrar)


def _websockets(
    settings: Settings, carried: Carried, resolver: Resolver, half_open_max: int, tls: PeerTls | None
) -> RunningCarrier:
    return WebSocketCarrier(
        name=carried.name,
        peers=carried.peers,
        host=settings.peer_host,
        port=settings.peer_port,
        resolver=resolver,
        receiver=carried.receiver,
        chance=carried.chance,
        settings=LinkSettings(half_open_max=half_open_max, guests_max=carried.guests_max),
        tls=tls,
    )


def _discovery(membership: Membership, registry: RegistryClient | None, asks_dns: bool) -> FollowedDiscovery:
    """Where addresses are no hosts (`asks_dns` False), they are shown as they are, and nobody dials them."""
    listed = StaticDiscovery(membership.addresses(), None if asks_dns else Lookup(lambda host: [host]))
    return listed if registry is None else RegistryDiscovery(listed, registry, membership.incarnation)


def _tapped(
    storage: Storage, trace: Trace, shell: Shell, per_second_max: int, traced: Callable[[TracedWrite], None] | None
) -> tuple[Storage, TraceSink, TracedWrites | None]:
    """What the driver writes to and tells, looked on at where writes are traced."""
    if traced is None:
        return storage, trace, None
    paths = Paths(wall_us)
    tracing = TracedWrites(paths, wall_us, lambda: shell.core.leader, shell.later, per_second_max, traced)
    return TappedStorage(storage, paths), TappedTrace(trace, paths), tracing


def _summing_up(store: KeyValueStore, hub: WatchHub, quota_bytes: int) -> Callable[[], StoreSummary]:
    def summary() -> StoreSummary:
        return StoreSummary(
            store.revision,
            store.key_count,
            store.size_bytes,
            quota_bytes,
            store.lease_count,
            hub.watches,
            len(hub.streams),
        )

    return summary


def _letting_in(settings: Settings, shell: Shell, looking: Looking, obeying: Obeying) -> Callable[[], None]:
    auto = AutoMembers(settings.auto_members, settings.election_timeout_ms.high * 1000, obeying.order)

    def look() -> None:
        now = monotonic_us()
        core = shell.core.status(now)
        if core.role is Role.LEADER:
            core = msgspec.structs.replace(core, applicants=heard_applicants(core, looking.views()))
        auto.look(core, now)
        shell.later(LOOK_S, look)

    return look if settings.auto_members else lambda: None


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
