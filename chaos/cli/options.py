"""The options that every command takes, declared once.

Why it exists: `--namespace` must mean the same everywhere, and may stand after any command. It must not look at the
cluster.
"""

import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from chaos.errors import Usage
from chaos.evidence.folder import RUNS_FOLDER

RUNS = Path(RUNS_FOLDER)
DURATION_SECONDS_MAX = 24 * 3600.0
SEED_MAX = 2**63 - 1
READS_JSON = "a program reads the answer as JSON"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_WHERE, _RUN, _HOW = "Which cluster", "The run", "Output"


def seconds(text: str) -> float:
    """From "30", "30s", "1.5m", "500ms", "2h". Raises Usage."""
    found = _DURATION.fullmatch(text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else -1.0
    if not 0 < value <= DURATION_SECONDS_MAX:
        raise Usage(f"{text!r} is not a duration such as 30, 30s, 500ms or 2m, of at most 24h.")
    return value


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What they were given as; None: not given."""

    target: Literal["auto", "local", "kubernetes"]
    namespace: str | None
    release: str | None
    context: str | None
    data_dir: Path | None
    system: Literal["auto", "raft-node", "etcd"]
    duration: str | None
    seed: int | None
    dry_run: bool
    as_json: bool
    output: Literal["table", "json"] | None
    out: Path | None
    junit: Path | None
    yes: bool

    @property
    def json(self) -> bool:
        """Whether a program reads."""
        return self.as_json or self.output == "json"

    @property
    def runs(self) -> Path:
        """The folder that holds the runs."""
        return self.out or RUNS

    def refuse_junit(self) -> None:
        """Of a command that judges nothing. Raises Usage."""
        if self.junit is not None:
            raise Usage("--junit is for commands that judge a run: status, doctor and heal do not.")

    def duration_s(self, default: float) -> float:
        """`--duration` in seconds. Raises Usage."""
        return default if self.duration is None else seconds(self.duration)

    def again(self, command: str) -> str:
        """Another command against the same cluster, as people type it."""
        flags = {
            "target": None if self.target == "auto" else self.target,
            "namespace": self.namespace,
            "release": self.release,
            "context": self.context,
            "data-dir": self.data_dir,
            "system": None if self.system == "auto" else self.system,
            "out": self.out,
        }
        return " ".join(["raft-chaos", command, *(f"--{name} {value}" for name, value in flags.items() if value)])


def _shared(
    target: Annotated[
        Literal["auto", "local", "kubernetes"],
        typer.Option(help="where the cluster lives; auto: wherever only one is", rich_help_panel=_WHERE),
    ] = "auto",
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NS", help="of the release", rich_help_panel=_WHERE)
    ] = None,
    release: Annotated[
        str | None, typer.Option(metavar="NAME", help="of the Helm release", rich_help_panel=_WHERE)
    ] = None,
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="of the kubeconfig", rich_help_panel=_WHERE)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="of a local raft-node cluster, or lab", rich_help_panel=_WHERE)
    ] = None,
    system: Annotated[
        Literal["auto", "raft-node", "etcd"],
        typer.Option(help="what the nodes are; auto: as the cluster says", rich_help_panel=_WHERE),
    ] = "auto",
    duration: Annotated[
        str | None,
        typer.Option("--duration", "--for", metavar="30s", help="how long the fault lasts", rich_help_panel=_RUN),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=SEED_MAX, metavar="N", help="fixes what chance decides", rich_help_panel=_RUN),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, and change nothing", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="one object on stdout, progress on stderr", rich_help_panel=_HOW),
    ] = False,
    output: Annotated[
        Literal["table", "json"] | None,
        typer.Option("--output", "-o", help="json: the same as --json", rich_help_panel=_HOW),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="the folder that holds the runs", rich_help_panel=_HOW, show_default=str(RUNS)
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the verdicts of a run as JUnit XML, for a CI", rich_help_panel=_HOW),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask", rich_help_panel=_RUN)] = False,
) -> None:
    """Only its signature is used."""


def with_common(command: Callable[..., int]) -> Callable[..., int]:
    """The command, which takes `common: Common` first, with all shared options instead of it. What it raises carries
    the note READS_JSON where a program wants to be told of it."""
    shared = list(inspect.signature(_shared).parameters.values())
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "common"]

    @functools.wraps(command)
    def merged(**given: Any) -> int:
        common = Common(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        try:
            if common.as_json and common.output == "table":
                raise Usage("--json and -o table exclude each other: give one of the two.")
            common.duration_s(0.0)  # also where the command has no use for it: a typo is told
            return command(common, **given)
        except BaseException as error:
            if common.json:
                error.add_note(READS_JSON)
            raise

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *shared)]
    merged.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    merged.__annotations__ = {p.name: p.annotation for p in parameters}
    return merged
