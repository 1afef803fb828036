"""Whether a rollout may begin: who is ready, who is not, and who is gone for certain.

Why it exists: a rollout replaces one process after the other, and waits for each that it replaced; it does not wait for
one that was away before. So what it may cost must be known before it begins. It must not change anything.
"""

import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from node.cli import links
from node.cli.changing import members_of
from node.cli.failure import FAILED, UNAVAILABLE, UNKNOWN_OUTCOME, Failure

PATIENCE_SECONDS = 20.0
"""An election, or a pod that has just come, is no reason to refuse."""
LOOK_SECONDS = 0.5
ANSWER_SECONDS_MAX = 3.0
LAG_ENTRIES_MAX = 1_000
"""As many as a node may lack and be called ready."""
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


class State(NamedTuple):
    """Of one node: what its `/readyz` says. `gone`: its name does not exist, or it refuses connections."""

    ready: bool
    answers: bool
    gone: bool
    why: str


def now() -> float:
    """Seconds of the loops' clock: they all have one."""
    import asyncio

    async def of_loop() -> float:
        return asyncio.get_running_loop().time()

    return asyncio.run(of_loop())


def rest(seconds: float) -> None:
    """Between two looks."""
    import asyncio

    asyncio.run(asyncio.sleep(seconds))


def gone(nodes: Mapping[str, str]) -> bool:
    """Whether certainly none of these runs. Silence is no proof of it. They are dialled and not asked, so neither
    certificates nor tokens need to be there."""
    import asyncio

    async def dialled() -> bool:
        return all(await asyncio.gather(*map(_nobody_at, nodes)))

    return asyncio.run(dialled())


def states(rows: Sequence[Mapping[str, Any]], nodes: Mapping[str, str]) -> dict[str, State]:
    """By name, of rows of `/members`. One that does not say where it serves is looked for among `nodes`."""
    import asyncio

    urls = _urls(rows, nodes)
    found = asyncio.run(_look([url for url in urls.values() if url]))
    by_url = dict(zip([url for url in urls.values() if url], found, strict=True))
    unknown = State(ready=False, answers=False, gone=False, why="does not say where it serves clients")
    return {name: by_url.get(url, unknown) for name, url in urls.items()}


def require_time_for_a_rollout(nodes: Mapping[str, str], wanted: Sequence[str], ends_at: float) -> str:
    """Wait a little for the voters that stay to be ready, and for answers that are late: silence lets pass only what is
    silent all the time, for a node that is cut off, or a machine that is busy, may answer the next time. Raises Failure
    that says who is not ready. What there is to be told all the same."""
    until = min(ends_at, now() + PATIENCE_SECONDS)
    while True:
        try:
            against, notice, is_certain = _against(nodes, wanted)
        except Failure as failure:
            if failure.code not in (FAILED, UNAVAILABLE, UNKNOWN_OUTCOME):
                raise
            against, notice, is_certain = str(failure).removeprefix("Refused: "), "", True
        is_over = now() >= until
        if not against and (is_certain or is_over):
            return notice
        if is_over:
            raise Failure(f"Refused, and nothing was changed: {against}", FAILED)
        rest(LOOK_SECONDS)


def _against(nodes: Mapping[str, str], wanted: Sequence[str]) -> tuple[str, str, bool]:
    """What speaks against a rollout now, and what there is to be told; empty where there is nothing. And whether all
    who may know were heard."""
    import asyncio

    looks = dict(zip(nodes, asyncio.run(_look(list(nodes))), strict=True))
    answering = {url: nodes[url] for url, state in looks.items() if state.answers}
    if not answering:  # asked one after the other, each would take its time to be silent
        first, state = next(iter(looks.items()))
        return f"no node answers ({nodes[first]}: {state.why}).", "", True
    _, body = members_of(answering)
    if not body["voters"]:
        return "", "The cluster is not born yet: there is no quorum to be lost.", True
    if not body["leader"]:
        return f"{body['node']} knows no leader.", "", True
    place = {name: number for number, name in enumerate(wanted)}
    learners = [row["name"] for row in body["learners"]]
    rows = sorted(
        (row for row in (*body["voters"], *body["learners"]) if row["name"] in place), key=lambda r: place[r["name"]]
    )
    found = states(rows, nodes)
    wrong: dict[str, str] = {}
    for row in rows:
        name, state, lag = row["name"], found[row["name"]], row["lag_entries"]
        if name in learners:
            wrong[name] = "is a learner, and has no vote yet"
        elif not state.ready:
            wrong[name] = f"is not ready ({state.why})"
        elif lag is not None and lag > LAG_ENTRIES_MAX:
            wrong[name] = f"lags by {lag} entries"
    urls = {name: url for name, url in _urls(rows, nodes).items() if found[name].answers}
    missing, unheard = links.missing(urls)
    cut_off = _cut_off(urls, missing, [row["name"] for row in rows], wrong)
    is_certain = not unheard and all(found[name].answers or found[name].gone for name in wrong)
    if not wrong:
        return cut_off, "", is_certain
    told = "; ".join(f"{name} {why}" for name, why in wrong.items())
    if list(wrong) == [rows[-1]["name"]]:
        notice = "" if cut_off else f"{told}: it is replaced first, and the others wait for it."
        return cut_off, notice, is_certain
    against = f"{told}. Others would be replaced meanwhile, and a majority might be away: wait until all are ready."
    return against, "", is_certain


def _cut_off(
    urls: Mapping[str, str], missing: Sequence[tuple[str, str]], names: Sequence[str], wrong: Mapping[str, str]
) -> str:
    """Who answers and is cut off, as the end of a refusal: one from another while both are well; the last one, if it is
    not, from all others. Empty: nobody."""
    for one, other in missing:
        if one not in wrong and other not in wrong:
            return (
                f"{one} and {other} have no link to each other, and may be needed while another one is replaced: "
                "wait until they have."
            )
    if not wrong:
        return ""
    last, others = names[-1], [name for name in names[:-1] if name in urls]
    if last in wrong and last in urls and others and all((name, last) in missing for name in others):
        return (
            f"{last} {wrong[last]}, though it runs: it has no link to {', '.join(others)}. A partition? "
            "Wait until it is over."
        )
    return ""


def _urls(rows: Sequence[Mapping[str, Any]], nodes: Mapping[str, str]) -> dict[str, str]:
    """Where each of these members is asked; empty where nobody knows."""
    return {row["name"]: row["client_url"] or _url_of(row["name"], nodes) for row in rows}


def _url_of(name: str, nodes: Mapping[str, str]) -> str:
    return next((url for url, called in nodes.items() if called == name or f"//{name}." in url), "")


async def _look(urls: Sequence[str]) -> list[State]:
    import asyncio

    from node.cli.identity import asking_session

    async with asking_session() as session:
        return list(await asyncio.gather(*(_ask(session, url) for url in urls)))


async def _nobody_at(url: str) -> bool:
    """Whether this name does not exist, or every address of it refuses connections."""
    import asyncio

    from yarl import URL

    host, port = URL(url).host, URL(url).port
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for *_, address in found:
                try:
                    _, writer = await asyncio.open_connection(str(address[0]), port)
                except ConnectionRefusedError:
                    continue
                writer.close()
                return False
    except (OSError, TimeoutError) as error:
        return _is_gone(error)
    return True


def _is_gone(error: BaseException) -> bool:
    """Whether it says that nobody has this name, or that nobody listens there."""
    if isinstance(error, socket.gaierror):
        return error.errno in _NO_SUCH_NAME
    return isinstance(error, ConnectionRefusedError)


def _reason(body: bytes) -> str:
    """What a node says of why it is not ready; of anybody else, all that it says."""
    import msgspec

    try:
        return str(msgspec.json.decode(body, type=dict[str, Any])["reason"])
    except (msgspec.MsgspecError, KeyError, RecursionError):
        return body.decode(errors="replace").strip()


async def _ask(session: Any, url: str) -> State:
    import aiohttp

    from node.cli.identity import trouble
    from node.supervisor.watch import UNREACHABLE, read_bounded

    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    try:
        async with session.get(f"{url}/readyz", timeout=timeout, allow_redirects=False) as answer:
            return State(
                answer.status == 200, answers=True, gone=False, why=_reason(await read_bounded(answer, 65_536))
            )
    except (*UNREACHABLE, ValueError) as error:
        cause = getattr(error, "os_error", error)
        if _is_gone(cause):
            unknown = isinstance(cause, socket.gaierror)
            why = "there is nobody of this name" if unknown else "it refuses connections"
            return State(ready=False, answers=False, gone=True, why=why)
        return State(ready=False, answers=False, gone=False, why=trouble(error) or "it does not answer")
