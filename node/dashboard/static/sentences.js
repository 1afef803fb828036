/** Events and states in words that a person would use. Pure; it must not format for the document. */

import { filled, specOf } from "./trace.js";
import { DOING, KINDS, ROLES } from "./words.js";

/** A role's name; its own word where a newer node has one more. */
export const roleName = (role) => ROLES[role]?.name ?? role;

const phase = (detail) => (detail.phase === "pre-vote" ? "pre-vote" : "vote");
const because = (detail) => (detail.reason ? `: ${detail.reason}` : "");

/** Of the kinds that need more than a template, and of this page's own. */
const SENTENCES = {
  leaving: (e) => `was asked to stop: it is not ready any more, hands its lead over${e.detail.wait_ms ? ` and serves on for ${duration(e.detail.wait_ms)}` : ""}`,
  role: (e) => `became ${roleName(e.detail.to)}, was ${roleName(e.detail.from)}${because(e.detail)}`,
  term: (e) => `moved from term ${e.detail.from} to ${e.detail.to ?? e.term}`,
  leader: (e) => (e.detail.leader ? `follows ${e.detail.leader === e.node ? "nobody: it leads itself" : e.detail.leader}` : "knows no leader any more"),
  election: (e) => (e.detail.phase === "pre-vote" ? "hears no leader and asks whether it could win an election" : `stands for election in term ${e.term}`),
  vote: (e) => `${e.detail.granted ? "granted" : "refused"} ${e.detail.candidate} its ${phase(e.detail)}${because(e.detail)}`,
  "vote-reply": (e) => `${e.detail.voter} ${e.detail.granted ? "grants" : "refuses"} its ${phase(e.detail)}`,
  link: (e) => `${e.detail.lane} link ${e.detail.direction === "out" ? "to" : "from"} ${e.detail.peer} is ${e.detail.up ? "up" : "down"}${because(e.detail)}`,
  stalled: stallWords,
  transfer: (e) => `hand-over to ${e.detail.target}: ${{ begun: "begun", told: "it was told to stand", done: "done", failed: "failed" }[e.detail.phase] ?? e.detail.phase}`,
  fault: (e) => `${faultWords(e.detail)} ${e.detail.on ? "is on" : "is over"}`,
  gap: (e) => `${e.detail.transitions} events were overwritten before this page could read them`,
  seen: seenWords,
};

function seenWords({ detail }) {
  const whose = `, as ${detail.by || "this page"} sees it`;
  if (detail.what === "role") return `is ${roleName(detail.to)} now, was ${roleName(detail.from)}${whose}`;
  if (detail.what === "reachable") return `is heard again${whose}`;
  if (detail.what === "unknown") return `is not heard: unknown, not necessarily dead${whose}`;
  return `${detail.what === "restarted" ? "has restarted" : `is ${detail.what}`}${whose}`;
}

function stallWords({ detail }) {
  const still = `stood still for ${duration(detail.ms)}`;
  if (detail.doing === "nothing") return `${still}: its process was stopped, or the machine had no time for it`;
  const why = detail.own ? "that was its own work" : detail.doing === "wal" ? "it waited for its disk" : "it waited for the machine";
  return `${still} over ${DOING[detail.doing] ?? "something else"}: ${why}`;
}

/** What happened, without the node's name in front. */
export function sentenceOf(event) {
  const sentence = SENTENCES[event.kind];
  if (sentence) return sentence(event);
  const says = KINDS[event.kind]?.says;
  if (says) return filled(says, { because: because(event.detail) }, event.detail, event);
  return `${event.kind} ${Object.entries(event.detail ?? {}).map(([key, value]) => `${key}=${value}`).join(" ")}`;
}

/** How long between two of the same for them to be one row. */
const FOLD_GAP_MS = 10_000;
const worded = new WeakMap();

/** `sentenceOf`, made once for each event. */
export function wordsOf(event) {
  if (!worded.has(event)) worded.set(event, sentenceOf(event));
  return worded.get(event);
}

/**
 * Rows of a list of events, oldest first: the same of the same node in the same term, again and again, is one row, also
 * where others come between. `event` is its first, `last` when its last was; rows stand in the order of their last.
 */
export function folded(events) {
  const rows = new Map();
  for (const event of events) {
    const key = `${event.node} ${event.term} ${wordsOf(event)}`;
    const row = rows.get(key);
    if (row && event.at - row.last <= FOLD_GAP_MS) {
      rows.delete(key);
      rows.set(key, { ...row, times: row.times + 1, last: event.at });
    } else {
      if (row) {
        rows.delete(key);
        rows.set(Symbol("over"), row);
      }
      rows.set(key, { event, times: 1, last: event.at });
    }
  }
  return [...rows.values()].sort((a, b) => a.last - b.last);
}

/** How often a row's event was, and within what time: ", 37 times in 5 s". */
export function timesWords({ event, times, last }) {
  return times > 1 ? `, ${times} times in ${duration(Math.max(1, last - event.at))}` : "";
}

function toward(fault) {
  if (!fault.peer) return "";
  return { in: ` from ${fault.peer}`, out: ` to ${fault.peer}` }[fault.direction] ?? ` with ${fault.peer}`;
}

export function faultWords(fault) {
  const spec = specOf(fault);
  return spec ? filled(spec.noun, fault, { s: fault.links > 1 ? "s" : "" }) + toward(fault) : fault.kind;
}

/**
 * Faults as people speak of them: both directions of a link are one, and the same fault on several links is one. Each
 * is as a fault is, with `peer` naming all of them and the end of the last one.
 */
export function grouped(faults) {
  const links = joined(faults, ["node", "kind", "peer", "value"], (one, next) => ({ direction: one.direction === next.direction ? one.direction : "both" }));
  const same = joined(links, ["node", "kind", "direction", "value"], (one, next) => ({ peers: [...one.peers, ...next.peers] }));
  return same.map((one) => ({ ...one, peer: listed(one.peers), links: one.peers.length }));
}

function joined(faults, alike, merge) {
  const found = new Map();
  for (const fault of faults) {
    const key = JSON.stringify(alike.map((name) => fault[name] ?? ""));
    const one = found.get(key);
    const next = { peers: fault.peer ? [fault.peer] : [], ...fault };
    found.set(key, one ? { ...one, ...merge(one, next), expires_in_ms: later(one.expires_in_ms, next.expires_in_ms) } : next);
  }
  return [...found.values()];
}

const later = (one, other) => (typeof one === "number" && typeof other === "number" ? Math.max(one, other) : null);
const listed = (names) => (names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** Who leads, and how many are heard by whom: the headline of those who know Raft. `by`: see `quorumOf`; `seen`: `seenBy`. */
export function headline({ leader, quorum, known, seen }) {
  if (!known) return "Nothing heard yet.";
  const short = quorum.heard < quorum.majority;
  const heard = quorum.heard === quorum.voters ? `all ${quorum.voters} nodes heard` : `${quorum.heard} of ${quorum.voters} voters heard${quorum.by ? ` by ${quorum.by}` : ""}`;
  if (leader.name) return `${leader.name} leads term ${leader.term}; ${heard}${short ? ", no majority in sight" : ""}, ${seen}.`;
  if (short) return `No leader: ${heard}, ${quorum.majority} are needed, ${seen}.`;
  return `No leader known in term ${leader.term}; ${heard}, ${seen}.`;
}

/**
 * All cuts in one line, however many links and nodes tell of them. `cuts`: see `cutsOf`; `names`: all nodes. Where links
 * are cut so that groups are apart, these are named; otherwise who is cut from whom.
 */
export function cutWords(cuts, names) {
  if (!cuts.length) return "";
  const way = new Set(cuts.map(({ from, to }) => `${from}>${to}`));
  const apart = (a, b) => way.has(`${a}>${b}`) && way.has(`${b}>${a}`);
  const both = cuts.filter(({ from, to }) => from < to && apart(from, to)).map(({ from, to }) => [from, to]);
  const oneWay = cuts.filter(({ from, to }) => !apart(from, to)).map(({ from, to }) => [from, to]);
  const groups = joinedBy(names, (a, b) => !apart(a, b));
  const clean = groups.length > 1 && both.length === groups.reduce((sum, group) => sum + group.length * (names.length - group.length), 0) / 2;
  const parts = clean ? [groups.map(listed).join(" from ")] : stars(both).map(([one, others]) => `${one} from ${listed(others)}`);
  parts.push(...stars(oneWay, false).map(([one, others]) => `${one} to ${listed(others)}, one way`));
  const ends = Math.max(...cuts.map((cut) => cut.ends));
  return `cut: ${parts.join("; ")}${Number.isFinite(ends) ? `, ends in ${duration(Math.ceil(ends / 1000) * 1000)}` : ""}`;
}

/** What hangs together, in the order of `names`. */
function joinedBy(names, together) {
  const groups = [];
  for (const name of names) {
    const mine = groups.filter((group) => group.some((one) => together(one, name)));
    for (const group of mine) groups.splice(groups.indexOf(group), 1);
    groups.push([...mine.flat(), name].sort((a, b) => names.indexOf(a) - names.indexOf(b)));
  }
  return groups.sort((a, b) => names.indexOf(a[0]) - names.indexOf(b[0]));
}

/** Pairs as few sentences: whoever is in the most of them first, with all its others. `either`: no matter which end. */
function stars(pairs, either = true) {
  const found = [];
  let left = pairs;
  while (left.length) {
    const ends = new Map();
    for (const [a, b] of left) for (const end of either ? [a, b] : [a]) ends.set(end, (ends.get(end) ?? 0) + 1);
    const [centre] = [...ends].reduce((best, one) => (one[1] > best[1] ? one : best));
    const mine = left.filter(([a, b]) => a === centre || (either && b === centre));
    found.push([centre, mine.map(([a, b]) => (a === centre ? b : a))]);
    left = left.filter((pair) => !mine.includes(pair));
  }
  return found;
}

/** Why there is nothing new of a node; empty where it is heard. */
export function awayWords(node) {
  if (!node || node.reachable) return "";
  return `${node.name} ${node.state === "dead" ? "does not run" : "is not heard"}`;
}

/** What a panel says that has nothing to show of its node: `yet` in the first seconds. */
export function nothingWords(node, yet) {
  const away = awayWords(node);
  return away ? `${away}, and this page has read nothing of it.` : yet;
}

/** How old a panel is whose node is away; empty where it is heard. */
export function oldWords(node) {
  return awayWords(node) ? `last heard ${duration(node.ageMs)} ago` : "";
}

/** A name as it fits into the ring: of a long one the end, for there the pods of a release differ. */
export function short(name) {
  return name.length > 6 ? `…${name.slice(-4)}` : name;
}

/** Nodes without a vote, each with why it waits: what the operator of a new or a lost disk must see. */
export function waiting(nodes) {
  return nodes
    .filter((node) => node.reachable && node.status?.role === "initial")
    .map((node) => `${node.name} has no vote and waits: ${node.status.waiting_for || "the next round of answers"}.`);
}

/** Of a node's page where others answer, too. */
export function mixedWords(own, names) {
  if (!names.length) return [];
  return [`Not only ${own} answers here, ${names.join(" and ")} too, so log, figures and events below are not of one node. What leads here must keep a browser at one (sticky sessions; docs/operations.md, By a name).`];
}

const parsed = (url) => (URL.canParse(url ?? "") ? new URL(url) : null);
const ANYWHERE = /^(localhost|\[[0-9a-f:.]+\]|[0-9.]+)$/i;

/**
 * Where another node's page is: `{ href }`, or `{ words }` where this browser cannot be expected to get there.
 *
 * A node knows its address as the cluster does. Names of the cluster mean nothing to a browser that came in another
 * way, such as a port-forward; it got here by the cluster's names only if this page's address is what its node says.
 */
export function pageOf(name, url, ownUrl, here) {
  const there = parsed(url);
  if (!there) return {};
  const sameWay = there.hostname === here.hostname || ANYWHERE.test(there.hostname) || parsed(ownUrl)?.host === here.host;
  if (sameWay) return { href: `${url}/` };
  return { words: `Its own page is ${url}/ in the cluster's network; from here: kubectl port-forward pod/${name} ${there.port || 80}. Commands below reach it through this page's server.` };
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "never";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

/** A whole number with its thousands apart. (The locale's own way costs a formatter a call.) */
export function whole(number) {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count;
  let unit = -1;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
