import assert from "node:assert/strict";
import { test } from "node:test";

import * as connections from "../../../node/dashboard/static/connections.js";
import { initialState, reduce } from "../../../node/dashboard/static/trace.js";

const NAMES = ["n1", "n2", "n3", "n4", "n5"];

/** Five nodes led by n1, as the monitor or a node sees them; `apart` lists pairs that do not hear each other. */
function seen(source, { apart = [], faults = {}, away = [], leader = "n1", gone = {} } = {}) {
  const silent = (a, b) => apart.some(([x, y]) => (x === a && y === b) || (x === b && y === a));
  const nodes = NAMES.map((name) => ({
    name,
    state: away.includes(name) ? "unknown" : "reachable",
    age_ms: 0,
    process: gone[name],
    status: {
      name, role: name === leader ? "leader" : "follower", term: 2, leader: leader, boot: name, faults: faults[name] ?? [],
      voters: NAMES.map((one) => ({ name: one })),
      peers: NAMES.filter((one) => one !== name).map((one) => ({ name: one, link_up: true, last_contact_ms: silent(name, one) || away.includes(one) ? 9000 : 40 })),
    },
  }));
  return reduce(initialState(source), { type: "cluster", body: { nodes }, at: 1000 });
}

const MONITOR = { kind: "monitor" };
const NODE = { kind: "node", name: "n2" };
const CUT = [["n1", "n4"], ["n1", "n5"]];
const cut = (peer, direction = "both", expires_in_ms = 5000) => ({ kind: "cut", peer, direction, value: 0, expires_in_ms });

test("the monitor counts whom the leader hears, not whom the monitor reaches", () => {
  assert.deepEqual(connections.quorumOf(seen(MONITOR)), { voters: 5, heard: 5, by: "n1", majority: 3 });
  assert.deepEqual(connections.quorumOf(seen(MONITOR, { apart: CUT })), { voters: 5, heard: 3, by: "n1", majority: 3 });
  const known = { n1: [cut("n4"), cut("n5")] };
  assert.equal(connections.quorumOf(seen(MONITOR, { faults: known })).heard, 3, "a cut that is told counts before the silence is long");
  assert.deepEqual(connections.quorumOf(seen(NODE, { apart: CUT })), { voters: 5, heard: 5, by: "", majority: 3 });
});

test("without a leader the monitor counts for the node that reaches the most", () => {
  const state = seen(MONITOR, { leader: "", apart: [["n1", "n2"], ["n1", "n3"], ["n1", "n4"], ["n1", "n5"]] });
  assert.deepEqual(connections.quorumOf(state), { voters: 5, heard: 4, by: "n2", majority: 3 });
});

test("hub, headline and links have one viewpoint, and it is named", () => {
  assert.equal(connections.seenBy(seen(MONITOR)), "as seen by the monitor: from each node's own word");
  assert.equal(connections.seenBy(seen(NODE)), "as seen by n2");
});

test("a link on which nothing arrives is silent, although its sender says that it is up", () => {
  const states = Object.fromEntries(connections.linksOf(seen(MONITOR, { apart: CUT })).map((link) => [`${link.from}>${link.to}`, link.state]));
  assert.deepEqual([states["n1>n4"], states["n4>n1"], states["n1>n2"], states["n4>n5"]], ["silent", "silent", "up", "up"]);
  const dead = connections.linksOf(seen(MONITOR, { away: ["n5"] }));
  assert.deepEqual([...new Set(dead.filter((link) => link.from === "n5").map((link) => link.state))], ["unknown"]);
  for (const { state } of dead) assert.ok(connections.LINK_STATES.includes(state));
});

test("nodes that reach each other are groups, the leader's side first; all together are none", () => {
  assert.deepEqual(connections.groupsOf(seen(MONITOR)), []);
  assert.deepEqual(connections.groupsOf(seen(MONITOR, { away: ["n5"] })), [], "a dead node makes no groups");
  assert.deepEqual(connections.groupsOf(seen(MONITOR, { apart: CUT })), [["n1", "n2", "n3"], ["n4", "n5"]]);
  const split = ["n1", "n3"].flatMap((one) => ["n2", "n4", "n5"].map((other) => [one, other]));
  assert.deepEqual(connections.groupsOf(seen(MONITOR, { apart: split, leader: "n2" })), [["n2", "n4", "n5"], ["n1", "n3"]]);
  const alone = seen(NODE, { away: ["n4", "n5"], faults: { n1: [cut("n4")] } });
  assert.deepEqual(connections.groupsOf(alone), [["n1", "n2", "n3"]], "of a cut, one side may be all that is heard");
});

test("cuts are told once for each way, with the end of the last", () => {
  const state = seen(MONITOR, { faults: { n1: [cut("n4", "out", 5000), cut("n4", "in", 5000)], n4: [cut("n1", "both", 9000)], n5: [{ kind: "delay", peer: "n1", direction: "out", value: 5 }] } });
  assert.deepEqual(connections.cutsOf(state), [{ from: "n1", to: "n4", ends: 9000 }, { from: "n4", to: "n1", ends: 9000 }]);
});
