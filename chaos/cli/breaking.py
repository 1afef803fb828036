"""`raft-chaos kill-leader`, `pause` and `partition`: what they take, and the faults that come of it.

Why it exists: a fault is a file of chaos/faults and a command here; how it is asked about and run is attempt.py's. It
must not look at the cluster.
"""

import random
from typing import Annotated, Literal

import typer

from chaos.cli.attempt import attempt
from chaos.cli.group import Bare
from chaos.cli.options import Common, seconds, with_common
from chaos.errors import Usage
from chaos.faults.groups import Isolate, parse_sizes
from chaos.faults.kill_leader import KillLeader
from chaos.faults.partition import Partition
from chaos.faults.pause import PauseNode
from chaos.faults.port import Fault
from chaos.faults.shapes import Bridge, Ring, Shape, parse_one_way

TIMES_MAX = 1000
DOWN_SECONDS, PARTITION_SECONDS, PAUSE_SECONDS = 2.0, 30.0, 10.0
EVERY_TEXT, WITHIN_TEXT = "5s", "30s"
_FAULT = "The fault"

Within = Annotated[
    str, typer.Option(metavar="30s", help="how soon the cluster must be whole again", rich_help_panel="The run")
]
QuorumLoss = Annotated[
    bool,
    typer.Option("--allow-quorum-loss", help="break it even where no majority is left", rich_help_panel="The run"),
]


def register(app: typer.Typer) -> None:
    app.command("kill-leader")(with_common(_kill_leader))
    app.command("pause")(with_common(_pause))
    app.command("partition", cls=Bare)(with_common(_partition))


def _kill_leader(
    common: Common,
    times: Annotated[
        int, typer.Option(min=1, max=TIMES_MAX, metavar="N", help="how many leaders", rich_help_panel=_FAULT)
    ] = 1,
    every: Annotated[
        str, typer.Option(metavar="5s", help="pause after each recovery", rich_help_panel=_FAULT)
    ] = EVERY_TEXT,
    mode: Annotated[
        Literal["delete", "sigkill"],
        typer.Option(
            help="delete: it is asked to leave (SIGTERM) and hands its lead over; sigkill: it dies at once",
            rich_help_panel=_FAULT,
        ),
    ] = "delete",
    within: Within = WITHIN_TEXT,
    allow_quorum_loss: QuorumLoss = False,
) -> int:
    """Kill whoever leads, while clients write and read, and show the failover step by step.

    The leader is found in the instant before the act. The next kill waits until
    every voter has caught up. --duration: how long the node stays down (local
    clusters; in Kubernetes it is started again at once).

    [bold]Examples[/bold]
      raft-chaos kill-leader --mode sigkill
      raft-chaos kill-leader --times 5 --every 10s --yes
      raft-chaos kill-leader --dry-run
    """
    pause_s = seconds(every)
    down_s = common.duration_s(DOWN_SECONDS)

    def faults(_: random.Random) -> list[Fault]:
        return [KillLeader(mode, number, times) for number in range(1, times + 1)]

    return attempt(common, "kill-leader", faults, down_s, pause_s, seconds(within), allow_quorum_loss)


def _pause(
    common: Common,
    who: Annotated[str, typer.Argument(metavar="leader|follower|NODE", help="whose process stands still")] = "leader",
    within: Within = WITHIN_TEXT,
    allow_quorum_loss: QuorumLoss = False,
) -> int:
    """Have a node's process stand still (SIGSTOP), and let it go on (SIGCONT).

    Beyond the election timeout another node leads meanwhile, and the one that
    wakes up must not be believed. In Kubernetes the liveness probe ends a pause
    that is too long (80 s by default).

    [bold]Examples[/bold]
      raft-chaos pause
      raft-chaos pause leader --for 200ms
      raft-chaos pause follower --for 40s --yes
    """
    lasts_s = common.duration_s(PAUSE_SECONDS)

    def faults(rng: random.Random) -> list[Fault]:
        return [PauseNode(who, rng, lasts_s)]

    return attempt(common, "pause", faults, lasts_s, 0.0, seconds(within), allow_quorum_loss)


def _partition(
    common: Common,
    isolate: Annotated[
        str | None,
        typer.Option(metavar="leader|follower|NODE", help="cut one node off; bare: the leader", rich_help_panel=_FAULT),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="2,3", help="sizes of the groups, the leader's first", rich_help_panel=_FAULT),
    ] = None,
    one_way: Annotated[
        str | None,
        typer.Option(
            metavar="A:B", help="A's words do not reach B: leader, follower, others or NODE,...", rich_help_panel=_FAULT
        ),
    ] = None,
    bridge: Annotated[
        str | None,
        typer.Option(
            metavar="leader|follower|NODE",
            help="one voter (bare: the leader) talks to two halves that cannot talk to each other",
            rich_help_panel=_FAULT,
        ),
    ] = None,
    ring: Annotated[
        bool, typer.Option("--ring", help="each voter talks to two neighbours alone", rich_help_panel=_FAULT)
    ] = False,
    within: Within = WITHIN_TEXT,
    allow_quorum_loss: QuorumLoss = False,
    without_switch: Annotated[
        bool,
        typer.Option("--without-switch", help="go on without a dead man's switch", rich_help_panel="The run"),
    ] = False,
) -> int:
    """Cut links between nodes, prove that the cut holds, and show what each side did.

    Without options it isolates the leader for 30 s. The clock of the fault starts
    only when new connections fail and nothing is heard over a blocked link; a cut
    that cannot be proven is taken back, exit code 3.

    [bold]Examples[/bold]
      raft-chaos partition
      raft-chaos partition --isolate follower --duration 1m
      raft-chaos partition --split 2,3 --seed 7 --yes
      raft-chaos partition --one-way leader:follower
      raft-chaos partition --bridge
      raft-chaos partition --dry-run
    """
    shape = _shape(isolate, split, one_way, bridge, ring)
    lasts_s = common.duration_s(PARTITION_SECONDS)

    def faults(rng: random.Random) -> list[Fault]:
        return [Partition(shape, rng, lasts_s)]

    return attempt(common, "partition", faults, lasts_s, 0.0, seconds(within), allow_quorum_loss, not without_switch)


def _shape(isolate: str | None, split: str | None, one_way: str | None, bridge: str | None, ring: bool) -> Shape:
    """The one that was asked for. Raises Usage."""
    shapes: dict[str, Shape] = {}
    if isolate is not None:
        shapes["--isolate"] = Isolate(isolate)
    if split is not None:
        shapes["--split"] = parse_sizes(split)
    if one_way is not None:
        shapes["--one-way"] = parse_one_way(one_way)
    if bridge is not None:
        shapes["--bridge"] = Bridge(bridge)
    if ring:
        shapes["--ring"] = Ring()
    if len(shapes) > 1:
        raise Usage(f"{' and '.join(shapes)} exclude each other: give one of them.")
    return next(iter(shapes.values()), Isolate())
