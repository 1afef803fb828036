import assert from "node:assert/strict";
import { test } from "node:test";

import * as connections from "../../../node/dashboard/static/connections.js";
import * as trace from "../../../node/dashboard/static/trace.js";

const { initialState, reduce } = trace;

function status(name, more = {}) {
  const peers = ["n1", "n2", "n3"].filter((peer) => peer !== name).map((peer) => ({ name: peer, link_up: true, last_contact_ms: 5 }));
  return { name, role: "follower", term: 3, vote: "n2", leader: "n2", commit: 9, applied: 9, durable: 9, first_index: 1, last_index: 9, log_bytes: 90, deadline_in_ms: 120, voters: ["n1", "n2", "n3"].map((one) => ({ name: one })), peers, boot: `boot-${name}`, uptime_ms: 5000, time_us: 1_000_000, faults: [], ...more };
}

function cluster(...changes) {
  const nodes = [
    { name: "n1", state: "reachable", age_ms: 0, status: status("n1") },
    { name: "n2", state: "reachable", age_ms: 200, status: status("n2", { role: "leader", vote: "n2" }) },
    { name: "n3", state: "reachable", age_ms: 300, status: status("n3") },
  ];
  for (const [name, change] of changes) {
    const node = nodes.find((one) => one.name === name);
    const { status: more, ...own } = change;
    Object.assign(node, own);
    if (more === null) node.status = null;
    else if (more) node.status = { ...node.status, ...more };
  }
  return { node: "n1", cluster_id: "c", nodes };
}

const begin = () => initialState({ kind: "node", name: "n1" });
const look = (state, body, at = 1000) => reduce(state, { type: "cluster", body, at });
const event = (seq, kind, more = {}) => ({ seq, time_us: 2_000_000, node: "n1", kind, term: 3, role: "follower", detail: {}, ...more });
const tell = (state, one, id = `boot.${one.seq}.0`) => reduce(state, { type: "trace", event: one, id, at: 2000 });

test("the leader is the one of the highest term, and an older one is stale", () => {
  const state = look(begin(), cluster(["n3", { status: { role: "leader", term: 5 } }]));
  assert.deepEqual(trace.leaderOf(state), { name: "n3", term: 5 });
  const [, n2, n3] = trace.nodesOf(state);
  assert.equal(n2.stale, true);
  assert.equal(n3.leads && !n3.stale, true);
});

test("a node that is not heard is unknown, with its last words kept, never dead", () => {
  let state = look(begin(), cluster());
  state = look(state, cluster(["n2", { state: "unknown", age_ms: 5000 }]));
  const n2 = trace.nodesOf(state)[1];
  assert.deepEqual([n2.role, n2.lastRole, n2.leads, n2.timer], ["unknown", "leader", false, null]);
  assert.equal(trace.leaderOf(state).name, "");
  assert.deepEqual(state.events.map((one) => [one.node, one.kind, one.detail.what]), [["n2", "seen", "unknown"]]);
  assert.deepEqual(connections.quorumOf(state), { voters: 3, heard: 2, by: "", majority: 2 });
});

test("a voter that lost its disk is heard and does not count", () => {
  const wiped = ["n3", { status: { role: "initial", term: 0, voters: [] } }];
  assert.deepEqual(connections.quorumOf(look(begin(), cluster(wiped))), { voters: 3, heard: 2, by: "", majority: 2 });
  const unborn = ["n1", "n2", "n3"].map((name) => [name, { status: { role: "initial", voters: [] } }]);
  assert.deepEqual(connections.quorumOf(look(begin(), cluster(...unborn))), { voters: 3, heard: 3, by: "", majority: 2 });
});

test("the last words of a node are kept also where the server has them no more", () => {
  const state = look(look(begin(), cluster()), cluster(["n2", { state: "dead", age_ms: null, status: null }]));
  const n2 = trace.nodesOf(state)[1];
  assert.deepEqual([n2.reachable, n2.role, n2.lastRole, n2.term], [false, "unknown", "leader", 3]);
});

test("a node never heard has no figures and breaks nothing", () => {
  const state = look(begin(), cluster(["n3", { state: "unknown", status: null, age_ms: null }]));
  assert.equal(trace.nodesOf(state)[2].lastRole, "unknown");
  assert.equal(connections.linksOf(state).find((link) => link.from === "n3").state, "unknown");
});

test("links are told per direction, and a fault on either end cuts the right one", () => {
  const cut = { kind: "cut", peer: "n3", direction: "out", value: 0, expires_in_ms: 5000 };
  const late = { kind: "delay", peer: "n2", direction: "in", value: 50, expires_in_ms: 5000 };
  const state = look(begin(), cluster(["n1", { status: { faults: [cut, late] } }]));
  const links = Object.fromEntries(connections.linksOf(state).map((link) => [`${link.from}>${link.to}`, [link.state, link.note]]));
  assert.deepEqual(links["n1>n3"], ["cut", "cut on purpose"]);
  assert.deepEqual(links["n3>n1"], ["up", ""]);
  assert.deepEqual(links["n2>n1"], ["slow", "50 ms"]);
  assert.deepEqual(links["n1>n2"], ["up", ""]);
  assert.equal(trace.faultsOf(state).length, 2);
  const damaged = { kind: "corrupt", peer: "n2", direction: "out", value: 5, expires_in_ms: 5000 };
  const noisy = look(begin(), cluster(["n1", { status: { faults: [damaged] } }]));
  const link = connections.linksOf(noisy).find((one) => one.from === "n1" && one.to === "n2");
  assert.deepEqual([link.state, link.note], ["slow", "5 % damaged"]);
});

test("a link that is down is down, and a simulated failure cuts all", () => {
  const down = cluster();
  down.nodes[0].status.peers[0].link_up = false;
  const states = (body) => connections.linksOf(look(begin(), body)).map((link) => `${link.from}>${link.to} ${link.state}`);
  assert.ok(states(down).includes("n1>n2 down"));
  assert.ok(states(down).includes("n2>n1 up"));
  const failed = states(cluster(["n1", { status: { faults: [{ kind: "failure", peer: "", direction: "" }] } }]));
  assert.deepEqual(failed.filter((link) => link.endsWith("cut")).length, 4);
});

test("the viewpoint's own transitions show at once, before the next look at the cluster", () => {
  let state = look(begin(), cluster());
  state = tell(state, event(1, "role", { term: 4, role: "candidate", detail: { from: "follower", to: "candidate" } }));
  assert.equal(trace.nodesOf(state)[0].role, "candidate");
  assert.deepEqual(trace.leaderOf(state), { name: "", term: 4 });
  state = tell(state, event(2, "won", { term: 4, role: "leader", detail: { votes: 2 }, time_us: 2_000_001 }));
  assert.deepEqual(state.leader, { name: "n1", term: 4, changes: 3 });
});

test("an event older than the last look at the cluster does not turn it back", () => {
  let state = look(begin(), cluster(["n1", { status: { time_us: 3_000_000 } }]));
  state = tell(state, event(1, "role", { role: "candidate" }));
  assert.equal(trace.nodesOf(state)[0].role, "follower");
});

test("an answer that an event overtook turns nobody back, and a new process is believed at once", () => {
  let state = tell(look(begin(), cluster()), event(1, "won", { term: 4, role: "leader" }));
  assert.deepEqual([trace.nodesOf(state)[0].role, trace.nodesOf(state)[0].term], ["leader", 4]);
  state = look(state, cluster(["n1", { status: { time_us: 1_900_000, uptime_ms: 5900 } }]));
  assert.deepEqual([trace.nodesOf(state)[0].role, trace.nodesOf(state)[0].term], ["leader", 4]);
  assert.equal(look(state, cluster(["n1", { status: { time_us: 2_100_000 } }])).cluster.nodes[0].status.role, "follower");
  assert.equal(look(state, cluster(["n1", { status: { boot: "another" } }])).cluster.nodes[0].status.role, "follower");
  const setBack = cluster(["n1", { status: { time_us: 2_000_000 - 3_600_000_000, uptime_ms: 9000 } }]);
  assert.equal(look(state, setBack).cluster.nodes[0].status.role, "follower", "a clock that is set back by an hour freezes nothing");
  assert.equal(look(state, cluster(["n1", { status: { uptime_ms: 10, time_us: 9_000_000 } }])).cluster.nodes[0].status.role, "leader");
});

test("whom a heard node follows in a term leads that term, although its own words are older", () => {
  const elected = { status: { term: 4, leader: "n3", vote: "n3" } };
  const state = look(begin(), cluster(["n1", elected], ["n2", { status: { term: 3, role: "leader" } }], ["n3", { status: { role: "follower", term: 3 } }]));
  const [, n2, n3] = trace.nodesOf(state);
  assert.deepEqual([n3.role, n3.term, n3.leads, n2.stale], ["leader", 4, true, true]);
  assert.deepEqual(trace.leaderOf(state), { name: "n3", term: 4 });
  const stood = look(begin(), cluster(["n1", elected], ["n3", { status: { role: "candidate", term: 4, leader: "" } }]));
  assert.equal(trace.nodesOf(stood)[2].role, "leader");
  const deposed = look(begin(), cluster(["n1", elected], ["n3", { status: { role: "follower", term: 4, leader: "" } }]));
  assert.equal(trace.nodesOf(deposed)[2].role, "follower", "who stepped down in its own term knows better");
});

test("what is shown grows old while nobody answers", () => {
  let state = look(begin(), cluster());
  state = reduce(state, { type: "cluster-failed", message: "x", at: 3000 });
  state = reduce(state, { type: "clock", at: 13_000 });
  assert.deepEqual(trace.nodesOf(state).map((node) => node.ageMs), [12_000, 12_200, 12_300]);
});

test("a resumed stream repeats nothing, another process begins anew", () => {
  let state = tell(tell(begin(), event(1, "term")), event(2, "term"));
  state = tell(state, event(2, "term"));
  assert.equal(state.events.length, 2);
  state = tell(state, event(1, "started"), "other.1.0");
  assert.equal(state.events.length, 3);
  assert.deepEqual(state.events.map((one) => one.serial), [1, 2, 3]);
});

test("events are bounded, and what is forgotten is counted", () => {
  let state = begin();
  for (let seq = 1; seq <= trace.EVENTS_MAX + 7; seq += 1) state = tell(state, event(seq, "term"));
  assert.equal(state.events.length, trace.EVENTS_MAX);
  assert.equal(state.forgotten, 7);
});

test("what the server lost or left out is counted and told", () => {
  let state = reduce(begin(), { type: "lost", transitions: 4, messages: 9, at: 1 });
  state = reduce(state, { type: "sampled", leftOut: 30, at: 2 });
  assert.deepEqual(state.messages, { received: 0, leftOut: 30, lost: 9 });
  assert.equal(state.events[0].kind, "gap");
});

test("a heartbeat of the leader winds up the viewpoint's election timer", () => {
  let state = look(begin(), cluster(["n1", { status: { election_due_in_ms: 100, election_timeout_ms: 250 } }]));
  assert.deepEqual(trace.nodesOf(state)[0].timer, { left: 100, total: 250, at: 1000 });
  const beat = (peer) => ({ type: "message", event: { detail: { peer, sent: false, type: "heartbeat" } }, at: 1500 });
  assert.equal(reduce(state, beat("n3")).heardAt, 0);
  state = reduce(state, beat("n2"));
  assert.deepEqual(trace.nodesOf(state)[0].timer, { left: 250, total: 250, at: 1500 });
  assert.equal(trace.nodesOf(state)[1].timer, null);
});

test("a new viewpoint forgets the former one's trace, log and figures", () => {
  let state = tell(look(begin(), cluster()), event(1, "term"));
  state = reduce(state, { type: "stats", body: {}, at: 1 });
  state = reduce(state, { type: "viewpoint", name: "n3", at: 2 });
  assert.deepEqual([state.events, state.stats, state.lastSeq, state.viewpoint], [[], null, 0, "n3"]);
  assert.equal(trace.nodesOf(state)[2].self, true);
});

test("reducing never changes the former state", () => {
  const deep = (value) => {
    if (value && typeof value === "object" && !Object.isFrozen(value)) {
      Object.freeze(value);
      Object.values(value).forEach(deep);
    }
    return value;
  };
  let state = deep(look(begin(), deep(cluster())));
  for (const action of [
    { type: "trace", event: event(1, "leader", { detail: { leader: "n3" } }), id: "b.1.0" },
    { type: "message", event: { detail: { peer: "n2", sent: false, type: "append" } } },
    { type: "cluster", body: cluster(["n3", { state: "unknown" }]) },
    { type: "cluster-failed", message: "x" },
    { type: "stream", state: "lost" },
    { type: "lost", transitions: 1, messages: 1 },
    { type: "nothing of ours" },
  ]) {
    state = deep(reduce(state, { at: 3000, ...action }));
  }
  assert.equal(state.stream.state, "lost");
});

test("equal terms have equal colours, neighbours differ, and none is the first", () => {
  assert.equal(trace.termColour(0), 0);
  assert.equal(trace.termColour(1), trace.termColour(9));
  for (let term = 0; term < 20; term += 1) assert.notEqual(trace.termColour(term), trace.termColour(term + 1));
});

test("of a node's page it is known that others answer, too, or alone; of the monitor's nobody is a stranger", () => {
  const seen = (state, node, at) => reduce(state, { type: "cluster", body: { ...cluster(), node }, at });
  const later = (state, at) => trace.strangers(reduce(state, { type: "clock", at }));
  let state = seen(begin(), "n1", 1000);
  assert.deepEqual(trace.strangers(state), { names: [], only: false });
  state = seen(seen(state, "n3", 2000), "n2", 3000);
  assert.deepEqual(trace.strangers(state), { names: ["n2", "n3"], only: false });
  assert.deepEqual(later(state, 11_500), { names: ["n2", "n3"], only: true });
  assert.deepEqual(later(state, 12_500), { names: ["n2"], only: true });
  assert.deepEqual(later(state, 20_000), { names: [], only: false }, "nobody answers: nobody to follow");
  const told = reduce(begin(), { type: "trace", event: event(1, "role", { node: "n2" }), id: "boot.1.0", at: 5000 });
  assert.deepEqual(later(told, 5000).names, ["n2"], "a stream may come from another node, too");
  const monitor = reduce(initialState({ kind: "monitor" }), { type: "cluster", body: cluster(), at: 1000 });
  assert.deepEqual(trace.strangers(monitor), { names: [], only: false });
});
