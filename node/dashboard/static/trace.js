/**
 * What the page knows, as a pure reducer: (state, action) -> state.
 *
 * Why it exists: everything on screen is derived from one value that grows by what the server tells, so that it can be
 * tested without a browser and replayed. It must not touch the document, the network or a clock: `at` (milliseconds)
 * comes with every action.
 */

import { FAULTS, KINDS } from "./words.js";

export const EVENTS_MAX = 1000;
export const MIXED_MS = 10_000;
const CLOCK_SET_BACK_US = 5_000_000;

const listedIn = (group) => Object.keys(KINDS).filter((kind) => KINDS[kind].group === group);

/** Kinds of events by what a reader looks for; `seen` are this page's own observations of other nodes. */
export const GROUPS = {
  elections: [...listedIn("elections"), "seen"],
  faults: listedIn("faults"),
  log: listedIn("log"),
  links: listedIn("links"),
  life: [...listedIn("life"), "gap"],
};

/** @param {{kind: string, name?: string}} source */
export function initialState(source) {
  return {
    source,
    viewpoint: source.name || "",
    stream: { state: "connecting", since: 0 },
    answered: {},
    cluster: null,
    clusterAt: 0,
    clusterError: "",
    now: 0,
    boot: "",
    lastSeq: 0,
    heardAt: 0,
    events: [],
    forgotten: 0,
    serial: 0,
    messages: { received: 0, leftOut: 0, lost: 0 },
    log: null,
    stats: null,
    members: null,
    commands: null,
    leader: { name: "", term: 0, changes: 0 },
  };
}

export function reduce(state, action) {
  return answeredBy(reduced(state, action), action);
}

function reduced(state, action) {
  switch (action.type) {
    case "cluster":
      return withLeader(observed(state, action), action.at);
    case "cluster-failed":
      return { ...state, clusterError: action.message };
    case "clock":
      return { ...state, now: action.at };
    case "trace":
      return withLeader(traced(state, action), action.at);
    case "message":
      return {
        ...state,
        heardAt: fromLeader(state, action.event) ? action.at : state.heardAt,
        messages: { ...state.messages, received: state.messages.received + 1 },
      };
    case "sampled":
      return { ...state, messages: { ...state.messages, leftOut: state.messages.leftOut + action.leftOut } };
    case "lost":
      return lost(state, action);
    case "stream":
      return { ...state, stream: { state: action.state, since: action.at } };
    case "viewpoint":
      return viewedFrom(state, action.name);
    case "log":
    case "stats":
    case "members":
    case "commands":
      return { ...state, [action.type]: action.body };
    default:
      return state;
  }
}

/** Who spoke, of a node's page: with a balancer before the nodes that need not be the one whose page it is. */
function answeredBy(state, { body, event, type, at }) {
  const by = (type === "cluster" && body.node) || (type === "trace" && event.node) || (type === "message" && event.node);
  if (!by || state.source.kind !== "node" || at - (state.answered[by] ?? 0) < MIXED_MS / 10) return state;
  return { ...state, answered: { ...state.answered, [by]: at } };
}

/** Nodes that answered lately instead of the one whose page this is; `only`: it did not answer itself. */
export function strangers({ source, answered, now }) {
  const lately = Object.keys(answered).filter((name) => now - answered[name] < MIXED_MS);
  const names = lately.filter((name) => name !== source.name).sort();
  return { names, only: names.length > 0 && names.length === lately.length };
}

/** Another node's eyes: what came from the former ones goes. */
function viewedFrom(state, name) {
  if (name === state.viewpoint) return state;
  return {
    ...state,
    viewpoint: name,
    boot: "",
    lastSeq: 0,
    heardAt: 0,
    events: [],
    forgotten: 0,
    messages: { received: 0, leftOut: 0, lost: 0 },
    log: null,
    stats: null,
    members: null,
    commands: null,
  };
}

function fromLeader(state, event) {
  const { peer, sent, type } = event.detail;
  return !sent && (type === "heartbeat" || type === "append") && peer === ownStatus(state)?.leader;
}

export function ownStatus(state) {
  return state.cluster?.nodes.find((node) => node.name === state.viewpoint)?.status ?? null;
}

function add(state, events) {
  if (!events.length) return state;
  let serial = state.serial;
  const all = state.events.concat(events.map((event) => ({ ...event, serial: ++serial })));
  const over = Math.max(0, all.length - EVENTS_MAX);
  return { ...state, serial, events: over ? all.slice(over) : all, forgotten: state.forgotten + over };
}

/** A transition of the viewpoint's trace. One that came before (a resumed stream) changes nothing. */
function traced(state, { event, id, at }) {
  const boot = String(id || "").replace(/\.\d+\.\d+$/, "");
  const again = boot === state.boot || boot === "";
  if (again && event.seq <= state.lastSeq) return state;
  const next = add({ ...state, boot: boot || state.boot, lastSeq: event.seq, heardAt: heard(state, event, at) }, [
    { at: event.time_us / 1000, node: event.node, kind: event.kind, term: event.term, role: event.role, detail: event.detail },
  ]);
  return patched(next, event);
}

function heard(state, event, at) {
  return event.kind === "vote" && event.detail.granted && event.detail.phase === "vote" ? at : state.heardAt;
}

/** The viewpoint's own role, term and leader are known at once, not only at the next look at the cluster. */
function patched(state, event) {
  const index = state.cluster?.nodes.findIndex((node) => node.name === event.node) ?? -1;
  const status = index < 0 ? null : state.cluster.nodes[index].status;
  if (!status || event.time_us <= (status.time_us ?? 0)) return state;
  const fresh = { ...status, time_us: event.time_us, term: Math.max(status.term, event.term), role: event.role };
  if (event.term > status.term || event.role === "candidate") fresh.leader = "";
  if (event.kind === "leader") fresh.leader = event.detail.leader;
  if (event.role === "leader") fresh.leader = event.node;
  const nodes = state.cluster.nodes.with(index, { ...state.cluster.nodes[index], status: fresh });
  return { ...state, cluster: { ...state.cluster, nodes } };
}

/** Whether `status` was said before `known`, by the same process. Its wall clock may be set back, so only a little. */
function isOlder(status, known) {
  if (status.boot !== known?.boot) return false;
  const later_us = (known.time_us ?? 0) - (status.time_us ?? 0);
  return status.uptime_ms < known.uptime_ms || (later_us > 0 && later_us < CLOCK_SET_BACK_US);
}

/**
 * A look at the whole cluster; what changed since the last one becomes events of its own. An answer that was made before
 * what is known already (an event overtook it) turns nobody back.
 */
function observed(state, { body, at }) {
  const before = new Map((state.cluster?.nodes ?? []).map((node) => [node.name, node]));
  const events = [];
  const nodes = body.nodes.map((node) => {
    const known = before.get(node.name)?.status ?? null;
    return !node.status || isOlder(node.status, known) ? { ...node, status: known } : node;
  });
  for (const node of nodes) {
    const old = before.get(node.name);
    const seen = (what, more) => {
      const status = node.status ?? {};
      const detail = { what, by: state.viewpoint, ...more };
      events.push({ at, node: node.name, kind: "seen", term: status.term ?? 0, role: status.role ?? "", detail });
    };
    if (!old) continue;
    if (old.state !== node.state) seen(node.state);
    if (node.name === state.viewpoint || !node.status || !old.status) continue;
    if (node.status.boot !== old.status.boot) seen("restarted");
    if (node.status.role !== old.status.role) seen("role", { from: old.status.role, to: node.status.role });
  }
  return add({ ...state, cluster: { ...body, nodes }, clusterAt: at, now: at, clusterError: "" }, events);
}

function lost(state, { transitions, messages, at }) {
  const next = { ...state, messages: { ...state.messages, lost: state.messages.lost + messages } };
  if (!transitions) return next;
  return add(next, [{ at, node: state.viewpoint, kind: "gap", term: 0, role: "", detail: { transitions } }]);
}

function withLeader(state) {
  const { name, term } = leaderOf(state);
  const { leader } = state;
  if (name === leader.name && (term === leader.term || !name)) return state;
  return { ...state, leader: { name, term, changes: leader.changes + 1 } };
}

/**
 * The nodes' own words, put right where others know more: whom a heard node follows in a term, that one leads this term,
 * although its own words may be from before.
 */
function wordsOf(state) {
  const nodes = state.cluster?.nodes ?? [];
  const led = new Map();
  for (const { state: how, status } of nodes) {
    if (how === "reachable" && status?.leader) led.set(status.leader, Math.max(led.get(status.leader) ?? 0, status.term));
  }
  return nodes.map((node) => {
    const { status } = node;
    const term = led.get(node.name) ?? 0;
    if (!status || status.role === "initial" || status.role === "leader") return { node, role: status?.role ?? "unknown", term: status?.term ?? 0 };
    const behind = term > status.term || (term === status.term && status.role === "candidate");
    return { node, role: behind ? "leader" : status.role, term: Math.max(term, status.term) };
  });
}

/** Who leads: the leader of the highest term that was heard of; on a node's page none where that node knows a higher one. */
export function leaderOf(state) {
  let found = { name: "", term: 0 };
  for (const { node, role, term } of wordsOf(state)) {
    if (node.state === "reachable" && role === "leader" && term > found.term) found = { name: node.name, term };
  }
  const own = state.source.kind === "node" ? ownStatus(state) : null;
  return own && own.term > found.term ? { name: "", term: own.term } : found;
}

export function highestTerm(state) {
  return Math.max(0, ...wordsOf(state).map(({ term }) => term));
}

/** The nodes as they are drawn, in the order of their names. Unreachable is *unknown*: its last words stay, marked. */
export function nodesOf(state) {
  const top = highestTerm(state);
  const leader = leaderOf(state);
  const leading = state.cluster?.nodes.find((node) => node.name === leader.name)?.status;
  const listening = new Set((leading?.learners ?? []).map((learner) => learner.name));
  const sending = new Map((leading?.snapshot?.sending ?? []).map((one) => [one.peer, one]));
  const progress = new Map((leading?.peers ?? []).map((peer) => [peer.name, peer]));
  const passed = state.now && state.clusterAt ? Math.max(0, state.now - state.clusterAt) : 0;
  return wordsOf(state).map(({ node, role, term }) => {
    const { process, status } = node; // only the monitor knows processes: it is their parent
    const reachable = node.state === "reachable" && Boolean(status);
    const listens = role === "follower" && listening.has(node.name);
    return {
      name: node.name,
      state: process?.state === "ended" ? "dead" : node.state,
      process: process ?? null,
      reachable,
      self: node.name === state.viewpoint,
      role: !reachable ? "unknown" : listens ? "learner" : role,
      lastRole: role,
      term,
      stale: reachable && role === "leader" && term < top,
      leads: reachable && node.name === leader.name,
      match: progress.get(node.name) ?? null,
      sending: sending.get(node.name) ?? null,
      lastIndex: leading?.last_index ?? 0,
      faults: status?.faults ?? [],
      ageMs: typeof node.age_ms === "number" ? node.age_ms + passed : node.age_ms,
      status,
      timer: reachable && !listens ? timerOf(state, node) : null,
    };
  });
}

/** What is left of a node's election timer: `left` of `total` milliseconds at `at`; null where it has none. */
function timerOf(state, node) {
  const { status } = node;
  if (status.role === "leader" || status.role === "initial") return null;
  const left = status.election_due_in_ms ?? status.deadline_in_ms;
  if (left === null || left === undefined) return null;
  const total = Math.max(status.election_timeout_ms ?? left, left, 1);
  const heardLater = node.name === state.viewpoint && state.heardAt > state.clusterAt;
  if (heardLater) return { left: total, total, at: state.heardAt };
  return { left: Math.max(0, left), total, at: state.clusterAt - (node.age_ms ?? 0) };
}

export function activeFaults(node) {
  return node.state === "reachable" ? (node.status?.faults ?? []) : [];
}

/** What the table says of a fault, undefined where it does not know it; "cut" and "cut_link" are the same. */
export function specOf(fault) {
  return FAULTS[fault.kind] ?? Object.values(FAULTS).find(({ kind }) => kind === fault.kind);
}

/** A template with its `{name}`s filled in from the first of `sources` that has one. */
export function filled(template, ...sources) {
  return template.replace(/\{(\w+)\}/g, (_, name) => sources.find((one) => one?.[name] !== undefined)?.[name] ?? "?");
}

/** All faults that are on, each with the node it is on. */
export function faultsOf(state) {
  return (state.cluster?.nodes ?? []).flatMap((node) => activeFaults(node).map((fault) => ({ node: node.name, ...fault })));
}

/** One of eight colours, the same for a term everywhere; the number always stands beside it. */
export function termColour(term) {
  return term > 0 ? ((term - 1) % 8) + 1 : 0;
}
