"""A node whose peers are the other ranks of an MPI world: its settings by its rank, its carrier, and the way out.

Why it exists: like app.py it knows both sides, here the settings and the carrier over MPI. It must not know what
started this process.
"""

from collections.abc import Mapping
from pathlib import Path

from node.raft.types import MEMBERS_MAX
from node.settings import Settings, SettingsError, load
from node.supervisor.mpi_place import address_of
from node.supervisor.timing import local_timing
from node.transport.mpi.carrier import MpiCarrier
from node.transport.mpi.world import MpiWorld
from node.transport.port import Carried, CarrierMaker
from node.transport.settings import LinkSettings


def name_of(rank: int) -> str:
    """What the node of a rank is called."""
    return f"rank-{rank}"


def flags_of(rank: int, size: int, base_port: int, folder: Path) -> dict[str, str]:
    """The settings of a rank's node that follow from its place."""
    return {
        "name": name_of(rank),
        "seeds": ",".join(f"{name_of(each)}={address_of(each)}" for each in range(size)),
        "data_dir": str(folder),
        "port": str(base_port + rank),
        "enable_faults": "true",
    }


def settings_of(
    flags: Mapping[str, str], environ: Mapping[str, str], called: Mapping[str, str] | None = None
) -> Settings:
    """Checked, and timed as a cluster on one machine where nobody says otherwise. `called`: see `load`."""
    loaded = load(flags, environ, called=called)
    settings = load({**flags, **local_timing(loaded.origins)}, environ, called=called).settings
    if settings.operations_port:
        raise SettingsError(
            f"Ranks share their settings, so all would listen at operations_port {settings.operations_port} (from "
            f"{loaded.origins['operations_port']}): unset it; every rank has /metrics at its own port."
        )
    if settings.peer_tls_dial != "plain" or settings.peer_tls_accept != "plain":
        raise SettingsError("Over MPI links are plain: leave peer_tls_dial and peer_tls_accept as they are.")
    if len(settings.seeds) > MEMBERS_MAX:
        raise SettingsError(f"An MPI world of {len(settings.seeds)} ranks is too large: {MEMBERS_MAX} at most.")
    return settings


def joined() -> MpiWorld:
    """The world of this process. Raises `MpiError`."""
    world = MpiWorld()
    world.join()
    return world


def run_rank(world: MpiWorld, settings: Settings) -> int:
    """Run the node until SIGTERM or SIGINT; its exit code."""
    from node.app import run

    code = run(settings, carrier_of(world))
    world.leave()
    return code


def carrier_of(world: MpiWorld) -> CarrierMaker:
    """What makes the carrier of this rank's node."""
    ranks = {name_of(rank): rank for rank in range(world.size)}

    def make(carried: Carried) -> MpiCarrier:
        return MpiCarrier(
            name=carried.name,
            peers=carried.peers,
            ranks=ranks,
            world=world,
            receiver=carried.receiver,
            chance=carried.chance,
            settings=LinkSettings(guests_max=carried.guests_max),
        )

    return make


def place(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Rank and size, as mpiexec says before anybody has called MPI; None: no mpiexec started this."""
    for rank, size in (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")):
        if environ.get(rank, "").isdecimal() and environ.get(size, "").isdecimal():
            return int(environ[rank]), int(environ[size])
    return None
