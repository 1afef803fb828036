"""The registry's page: who is registered, and who leads as they say; one table, no script.

Why it exists: whoever starts nodes by hand looks whether they are there. All that it shows are words of strangers, so
each is escaped. It must not ask anybody.
"""

from collections.abc import Sequence
from html import escape

from node.discovery.words import Listed

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Registry</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8885; vertical-align: top }
td, th { white-space: nowrap }
.wide { overflow-x: auto }
.twice { color: #b3261e; font-weight: 600 }
.leader { font-weight: 600 }
</style>
<h1>Registry</h1>
"""

STYLE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page has one style sheet, which is in it, and loads nothing."""


def page(listed: Sequence[Listed]) -> str:
    """The whole page."""
    return f"{_HEAD}<p>{_headline(listed)}</p>\n{_table(listed)}\n<p>{_FOOT}</p>\n</html>\n"


_FOOT = (
    "Each line is what a process says of itself, and goes when it is not repeated. Nobody asks this registry who "
    "votes: the cluster's log says that."
)


def _headline(listed: Sequence[Listed]) -> str:
    if not listed:
        return "Nobody is registered. Start nodes with <code>--discover registry:http://THIS-ADDRESS</code>."
    words = []
    by_cluster: dict[str, list[Listed]] = {}
    for each in listed:
        by_cluster.setdefault(each.registration.cluster, []).append(each)
    for cluster, members in sorted(by_cluster.items()):
        leaders = [each.registration for each in members if each.registration.role == "leader"]
        newest = max(leaders, key=lambda each: each.term, default=None)
        led = f"<b>{escape(newest.name)}</b> leads in term {newest.term}" if newest else "nobody says that it leads"
        which = f"cluster {escape(cluster[:8])}" if cluster else "no cluster yet"
        words.append(f"{which}: {len(members)} registered, {led}")
    return "; ".join(words) + "."


def _table(listed: Sequence[Listed]) -> str:
    if not listed:
        return ""
    names = [each.registration.name for each in listed]
    rows = "\n".join(_row(each, names.count(each.registration.name)) for each in listed)
    heads = "".join(
        f"<th scope=col>{head}</th>" for head in ("node", "role", "follows", "term", "peers", "clients", "said")
    )
    return f"<div class=wide tabindex=0><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table></div>"


def _row(each: Listed, of_name: int) -> str:
    said = each.registration
    name = escape(said.name)
    if of_name > 1:
        name += f' <span class="twice">{of_name} processes of this name</span> (disk {escape(said.incarnation[:8])})'
    link = f'<a href="{escape(said.url)}" rel="noreferrer">{escape(said.url)}</a>' if said.url else ""
    peers = f"{escape(said.host)}:{said.port}" if said.port else escape(said.host)
    cells = (
        name,
        escape(said.role),
        escape(said.leader),
        str(said.term),
        peers,
        link,
        f"{each.age_ms / 1000:.1f} s ago",
    )
    kind = ' class="leader"' if said.role == "leader" else ""
    return f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
