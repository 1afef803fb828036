"""A long run that went well, made without a cluster: what its judging takes is measured on it."""

from collections import Counter, deque
from collections.abc import Iterator

import msgspec

from chaos.checks.verdict import Evidence
from chaos.model import FaultSpan, LogLine
from chaos.workload.history import History, Op, PastRead
from chaos.workload.registers import PAST_WRITES_MAX
from tests.chaos.evidence import NODES, S, cut, event, kill, read, view, write

PER_SECOND = 120
CUT_SECONDS = 8


def requests(count: int, cut_at: float | None = None) -> Iterator[Op]:
    """Three writers and three readers, twenty a second each; one write of two thousand is of unknown outcome, and took
    effect. `cut_at`: n1 acknowledges nothing for CUT_SECONDS."""
    last, revision = [0, 0, 0], 1
    held = [(0, 0), (0, 0), (0, 0)]
    for number in range(count):
        at, who = number / PER_SECOND, number % 3
        key, via = f"chaos/run/w{who}", NODES[who]
        refused = via == "n1" and cut_at is not None and cut_at <= at < cut_at + CUT_SECONDS
        if number % 6 < 3:
            last[who] += 1
            if refused:
                yield write(last[who], at, at + 0.004, "fail", key, via)
                continue
            revision += 1
            held[who] = last[who], revision
            known = number % 2003 != 0
            op = write(last[who], at, at + 0.004, "ok" if known else "unknown", key, via)
            yield msgspec.structs.replace(op, revision=revision if known else 0)
        elif refused:
            yield msgspec.structs.replace(read(0, at, at + 0.003, key, via, "fail"), value=None)
        else:
            value, named = held[who]
            yield msgspec.structs.replace(read(value, at, at + 0.003, key, via), revision=named)


def evidence(count: int, kills: int = 1, views: int = 20_000, events: int = 50_000, entries: int = 50_000) -> Evidence:
    """All that is kept of a run, as much as is kept at most: `kills` one after the other, and then a cut."""
    ended = count / PER_SECOND
    began, cut_at = ended / 2, ended * 0.9 - CUT_SECONDS
    history = History(requests(count, cut_at))
    deaths = [began + number * (cut_at - 2 - began) / kills for number in range(kills)]
    faults: list[FaultSpan] = [kill(NODES[number % 3], at) for number, at in enumerate(deaths)]
    faults.append(cut((("n2", "n3"), ("n1",)), cut_at, cut_at + CUT_SECONDS))
    final: dict[str, int] = {}
    versions: Counter[str] = Counter()
    named: deque[tuple[str, PastRead]] = deque(maxlen=PAST_WRITES_MAX)
    for op in history.writes():
        if op.outcome != "fail":
            versions[op.key] += 1
            final[op.key] = op.value or 0
        if op.revision:
            named.append((op.key, (op.revision, op.revision, op.value or 0)))
    past = {key: tuple(told for of, told in named if of == key) for key in final}
    entry = count // 2
    return Evidence(
        voters=NODES,
        history=history,
        views=tuple(view(NODES[n % 3], ended * n / views, commit=n, applied=n, last_index=n + 1) for n in range(views)),
        events=(
            event(1, "n1", "won", 3),
            *(event(n + 2, NODES[n % 3], "append", 3, ended * n / events) for n in range(events)),
        ),
        logs={node: tuple(LogLine(entry + n, 3, f"{n:08x}") for n in range(entries)) for node in NODES},
        final=final,
        final_versions=versions,
        past=past,
        faults=tuple(faults),
        recovered_us=tuple((fault.reverted_us or 0) + S // 2 for fault in faults),
        recovery_limit_us=3 * S,
        began_faults_us=int(began * S),
        ended_us=int(ended * S),
    )
