/**
 * What the page knows, as a pure reducer: (state, action) -> state.
 *
 * Why it exists: everything on screen is derived from one value that grows by what the server tells, so that it can be
 * tested without a browser and replayed. It must not touch the document, the network or a clock: `at` (milliseconds)
 * comes with every action.
 */

import { FAULTS, KINDS } from "./words.js";

export const EVENTS_MAX = 1000;
export const UNKNOWN_AFTER_MS = 4000;

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
    cluster: null,
    clusterAt: 0,
    clusterError: "",
    boot: "",
    lastSeq: 0,
    heardAt: 0,
    events: [],
    forgotten: 0,
    serial: 0,
    messages: { received: 0, leftOut: 0, lost: 0 },
    log: null,
    stats: null,
    commands: null,
    leader: { name: "", term: 0, changes: 0 },
  };
}

export function reduce(state, action) {
  switch (action.type) {
    case "cluster":
      return withLeader(observed(state, action), action.at);
    case "cluster-failed":
      return { ...state, clusterError: action.message };
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
    case "commands":
      return { ...state, [action.type]: action.body };
    default:
      return state;
  }
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
  if (!status || event.time_us / 1000 < state.clusterAt - 50) return state;
  const fresh = { ...status, term: Math.max(status.term, event.term), role: event.role };
  if (event.kind === "leader") fresh.leader = event.detail.leader;
  if (event.role === "leader") fresh.leader = event.node;
  const nodes = state.cluster.nodes.with(index, { ...state.cluster.nodes[index], status: fresh });
  return { ...state, cluster: { ...state.cluster, nodes } };
}

/** A look at the whole cluster; what changed since the last one becomes events of its own. */
function observed(state, { body, at }) {
  const before = new Map((state.cluster?.nodes ?? []).map((node) => [node.name, node]));
  const events = [];
  const nodes = body.nodes.map((node) => (node.status ? node : { ...node, status: before.get(node.name)?.status ?? null }));
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
  return add({ ...state, cluster: { ...body, nodes }, clusterAt: at, clusterError: "" }, events);
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

/** Who leads: the leader of the highest term that was heard of, else whom the viewpoint believes in. */
export function leaderOf(state) {
  let found = { name: "", term: 0 };
  for (const node of state.cluster?.nodes ?? []) {
    const { status } = node;
    if (node.state === "reachable" && status?.role === "leader" && status.term > found.term) {
      found = { name: node.name, term: status.term };
    }
  }
  const own = ownStatus(state);
  if (own && own.term > found.term) {
    const believed = state.cluster.nodes.find((node) => node.name === own.leader);
    found = believed && believed.state === "reachable" ? { name: own.leader, term: own.term } : { name: "", term: own.term };
  }
  return found;
}

export function highestTerm(state) {
  return Math.max(0, ...(state.cluster?.nodes ?? []).map((node) => node.status?.term ?? 0));
}

/** The nodes as they are drawn, in the order of their names. Unreachable is *unknown*: its last words stay, marked. */
export function nodesOf(state) {
  const top = highestTerm(state);
  const leader = leaderOf(state);
  const leading = state.cluster?.nodes.find((node) => node.name === leader.name)?.status;
  const progress = new Map((leading?.peers ?? []).map((peer) => [peer.name, peer]));
  return (state.cluster?.nodes ?? []).map((node) => {
    const status = node.status;
    const reachable = node.state === "reachable" && Boolean(status);
    const role = status?.role ?? "unknown";
    const { process } = node; // only the monitor knows it: it is the parent
    return {
      name: node.name,
      state: process?.state === "ended" ? "dead" : node.state,
      process: process ?? null,
      reachable,
      self: node.name === state.viewpoint,
      role: reachable ? role : "unknown",
      lastRole: role,
      term: status?.term ?? 0,
      stale: reachable && role === "leader" && status.term < top,
      leads: reachable && node.name === leader.name,
      match: progress.get(node.name) ?? null,
      faults: status?.faults ?? [],
      ageMs: node.age_ms,
      status,
      timer: reachable ? timerOf(state, node) : null,
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

/**
 * Every directed link: `from` speaks to `to`. "up", "down" (the sender says so), "cut" or "slow" (a fault that is on),
 * "unknown" where the sender is not heard.
 */
export function linksOf(state) {
  const nodes = state.cluster?.nodes ?? [];
  const links = [];
  for (const from of nodes) {
    for (const to of nodes) {
      if (from === to) continue;
      const peer = from.status?.peers?.find((one) => one.name === to.name);
      const heard = from.state === "reachable" && peer;
      const fault = faultOn(from, to);
      const plain = heard ? (peer.link_up ? "up" : "down") : "unknown";
      links.push({ from: from.name, to: to.name, state: fault?.state ?? plain, note: fault?.note ?? "" });
    }
  }
  return links;
}

function faultOn(from, to) {
  const known = [
    ...[...activeFaults(from), ...activeFaults(to)].filter((one) => !one.peer),
    ...activeFaults(from).filter((one) => one.peer === to.name && one.direction !== "in"),
    ...activeFaults(to).filter((one) => one.peer === from.name && one.direction !== "out"),
  ].filter(specOf);
  const fault = known.find((one) => specOf(one).stops) ?? known[0];
  return fault ? { state: specOf(fault).stops ? "cut" : "slow", note: filled(specOf(fault).note, fault) } : null;
}

function activeFaults(node) {
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

/** How many voters there are, how many are heard, and how many decide. One that lost its disk has its name alone. */
export function quorumOf(state) {
  const nodes = state.cluster?.nodes ?? [];
  const listed = nodes.find((node) => node.status?.voters?.length)?.status.voters.map((voter) => voter.name);
  const voters = listed ?? nodes.map((node) => node.name);
  const votes = (node) => !listed || node.status?.role !== "initial";
  const heard = nodes.filter((node) => voters.includes(node.name) && node.state === "reachable" && votes(node)).length;
  return { voters: voters.length, heard, majority: Math.floor(voters.length / 2) + 1 };
}

/** One of eight colours, the same for a term everywhere; the number always stands beside it. */
export function termColour(term) {
  return term > 0 ? ((term - 1) % 8) + 1 : 0;
}
