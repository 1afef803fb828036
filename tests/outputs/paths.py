"""Every way that the two tools print something: what is asked, and what may be said when it cannot be printed.

Why it exists: `docs/output.md` lists them from here, and the walk holds each of them against real, broken outputs.
It must not run anything.
"""

from typing import NamedTuple

NOTHING = "Nothing was changed"
OUTPUT = 74
WHY = {
    "full": "no space is left where it goes",
    "closed": "it is closed",
    "pipe": "nobody reads it any more",
}
"""Kinds of standard output that takes nothing, and what is said of each."""


class OutputPath(NamedTuple):
    """`words`: the command, with {data} (a local cluster's folder), {run} (a kept run of raft-chaos), {runs},
    {new} (what is not there yet), {backup} (a file) and {survivor} (a member's folder).
    `done`: what the sentence says was done, a pattern. `whole`: what must be readable at any width. `code`: where
    all is well. `never`: what nobody could ever read; it is not begun where standard output is closed.
    """

    tool: str
    words: str
    done: str = NOTHING
    whole: tuple[str, ...] = ()
    code: int = 0
    never: str = ""

    @property
    def bytes(self) -> bool:
        """It prints a value as it is, whatever the encoding."""
        return self.words.startswith("get") and "json" not in self.words

    @property
    def broken_code(self) -> int:
        """Where standard output takes nothing. What raft-chaos found out keeps its own code."""
        return (self.code or OUTPUT) if self.tool == "raft-chaos" else OUTPUT

    @property
    def title(self) -> str:
        """As people type it."""
        return f"{self.tool} {self.words}"


def _node(words: str, done: str = NOTHING, *whole: str, code: int = 0) -> OutputPath:
    return OutputPath("raft-node", words, done, whole, code)


def _chaos(words: str, done: str = NOTHING, *whole: str, code: int = 0) -> OutputPath:
    return OutputPath("raft-chaos", words, done, whole, code)


def _follows(words: str, never: str) -> OutputPath:
    return OutputPath("raft-node", words, never=never)


_PUT, _DELETED = r"put \S+ \(revision \d+\) is done", r"deleted \S+ \(revision \d+\) is done"
_JUDGED = r"The run was judged again \(exit code \d+\) and its report is \S+report.html"
_RAN = "n1: .*: that is done"

PATHS = (
    _node("token new ci --role read"),
    _node("token new ci --role read --json"),
    _node("--help"),
    _node("put --help"),
    _node("--version"),
    _node("put schlüssel wert --data-dir {data}", _PUT),
    _node("put schlüssel wert --json --data-dir {data}", _PUT),
    _node("get schlüssel --data-dir {data}"),
    _node("get schlüssel -o json --data-dir {data}"),
    _follows("watch schl --revision 1 --count 1 --data-dir {data}", "what is watched"),
    _follows("watch schl --revision 1 --count 1 --json --data-dir {data}", "what is watched"),
    _node("delete weg --data-dir {data}", _DELETED),
    _node("status --data-dir {data}", NOTHING, "n1", "n2", "n3", "follower"),
    _node("status --json --data-dir {data}", NOTHING, '"headline"'),
    _node("status {url1} {url2} {url3} {dead1} {dead2}", NOTHING, "127.0.0.1:1", "127.0.0.1:2", "n1", "n3"),
    _node("command n1 --data-dir {data}", NOTHING, "transfer_leadership", "simulate_failure"),
    _node("command n1 -o json --data-dir {data}"),
    _node("command n1 state_details --data-dir {data}", _RAN),
    _node("command n1 state_details --json --data-dir {data}", _RAN),
    _node("members list --data-dir {data}", NOTHING, "n1", "n2", "n3", "voter"),
    _node("members list --json --data-dir {data}"),
    _node("members promote n1 --data-dir {data}", "n1 is a voter already: that is done"),
    _node("members promote n1 --json --data-dir {data}", "n1 is a voter already: that is done"),
    _node(
        "members update n1 --client-url {url1} --data-dir {data}",
        r"n1 is reached at 127.0.0.1:\d+ already: that is done",
    ),
    _node(
        "members update n1 --client-url {url1} --json --data-dir {data}",
        r"n1 is reached at 127.0.0.1:\d+ already: that is done",
    ),
    _node("members fit --names n1,n2,n3 --data-dir {data}", NOTHING, "n1, n2, n3"),
    _node("members fit --names n1,n2,n3 --json --data-dir {data}"),
    _node("members force-new --survivor n1 --data-dir {survivor} --yes"),
    _node("members force-new --survivor n1 --data-dir {survivor} --yes --json", "n1 is a member of .*: that is done"),
    _node("backup n1 {new} --data-dir {data}", r"The backup \S+ is made"),
    _node("backup n1 {new} --data-dir {data} --json", r"The backup \S+ is made"),
    _node("restore {backup} --data-dir {new} --name n1 --members n1=h1:9001", r"The folder \S+ is made"),
    _node("restore {backup} --data-dir {new} --name n1 --members n1=h1:9001 --json", r"The folder \S+ is made"),
    _node("log dump {data}/n1"),
    _node("log dump {data}/n1 --json"),
    _node("log verify {data}/n1"),
    _node("log verify {data}/n1 -o json"),
    _node("serve --name n1 --seeds n1=127.0.0.1:9001 --data-dir d --print-config", NOTHING, "n1=127.0.0.1:9001"),
    _node("serve --name n1 --seeds n1=127.0.0.1:9001 --data-dir d --print-config --json"),
    _node("demo-scenario --list", NOTHING, "leader-failure"),
    _node("demo-scenario --list --json"),
    _node("simulate --seed 1", NOTHING, "writes done"),
    _node("simulate --seed 1 --json"),
    _chaos("--help"),
    _chaos("partition --help"),
    _chaos("--version"),
    _chaos("status --data-dir {data}", NOTHING, "n1", "n2", "n3"),
    _chaos("status --json --data-dir {data}"),
    _chaos("doctor --data-dir {data}", NOTHING, "http://127.0.0.1:"),
    _chaos("doctor -o json --data-dir {data}"),
    _chaos("kill-leader --dry-run --data-dir {data} --out {runs}"),
    _chaos("pause --dry-run --data-dir {data} --out {runs}"),
    _chaos("partition --dry-run --data-dir {data} --out {runs}"),
    _chaos("partition --dry-run --json --data-dir {data} --out {runs}"),
    _chaos("heal --data-dir {data} --out {runs}"),
    _chaos("heal --dry-run --json --data-dir {data} --out {runs}"),
    _chaos("report {run}", _JUDGED, "one-leader-a-term", code=1),
    _chaos("report {run} --json", _JUDGED, code=1),
)
"""Those that end by themselves."""


def markdown_table() -> str:
    """The table of `docs/output.md`."""
    head = ["| Command | Exit code | Where it cannot be printed | Standard error then says |", "|---|---|---|---|"]
    names = {"{data}": "DIR", "{run}": "RUN", "{runs}": "RUNS", "--seeds n1=127.0.0.1:9001": "--seeds SEEDS"}
    names |= {"{survivor}": "DIR", "{new}": "NEW", "{backup}": "FILE"}
    names |= {f"{{url{number}}}": f"URL{number}" for number in (1, 2, 3)} | {"{dead1}": "URL4", "{dead2}": "URL5"}
    rows = []
    for path in PATHS:
        title, done = path.title, path.done
        for part, name in names.items():
            title = title.replace(part, name)
        for pattern, name in (
            (r"\\S+report.html", "..."),
            (r"backup \\S+", "backup NEW"),
            (r"folder \\S+", "folder NEW"),
            (r"\\S+", "KEY"),
            (r"\\d+", "N"),
            (".*", "..."),
            ("\\", ""),
        ):
            done = done.replace(pattern.replace("\\\\", "\\"), name)
        rows.append(f"| `{title}` | {path.code} | {path.broken_code} | {done}, but ... |")
    return "\n".join([*head, *rows])
