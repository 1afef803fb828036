import assert from "node:assert/strict";
import { test } from "node:test";

import { CAUGHT_UP_ENTRIES, membersOf, membersWords, whyNoChange } from "../../../node/dashboard/static/members.js";
import * as trace from "../../../node/dashboard/static/trace.js";

const member = (name, more = {}) => ({ name, incarnation: `disk-${name}`, address: `${name}:9001`, client_url: "", leader: false, last_contact_ms: 5, match_index: 90, lag_entries: 10, ...more });
const N4 = { name: "n4", incarnation: "disk-n4", address: "n4:9001", client_url: "http://n4", replaces: "", age_ms: 1 };

function known(more = {}, status = {}) {
  const body = { node: "n1", leader: "n2", changing: false, removed: false, voters: [member("n1"), member("n2", { leader: true, lag_entries: 0 })], learners: [], applicants: [], ...more };
  const nodes = [{ name: "n2", state: "reachable", age_ms: 0, status: { name: "n2", role: "leader", term: 3, leader: "n2", peers: [], voters: [], ...status } }];
  return { ...trace.initialState({ kind: "node", name: "n1" }), cluster: { nodes }, members: body };
}

const actions = (row) => row.actions.map(({ command, why }) => [command, why]);

test("voters can be removed, after a second question, and nothing else", () => {
  const rows = membersOf(known());
  assert.deepEqual(rows.map(({ name, kind, words }) => [name, kind, words]), [["n1", "voter", "lacks 10 of 100"], ["n2", "leader", "up to date"]]);
  assert.deepEqual(rows.map((row) => row.part), [0.9, 1]);
  assert.deepEqual(rows.map(actions), [[["remove_member", ""]], [["remove_member", ""]]]);
  assert.ok(rows.every((row) => row.actions[0].ask.includes(row.name)));
});

test("a learner gets a vote once it lacks little enough, and its button says why not before", () => {
  const rows = (lag) => membersOf(known({ learners: [member("n5", { lag_entries: lag, match_index: 1 })] }))[2];
  assert.deepEqual(actions(rows(CAUGHT_UP_ENTRIES))[0], ["promote_learner", ""]);
  assert.match(actions(rows(CAUGHT_UP_ENTRIES + 1))[0][1], /n5 lacks 1.001 entries yet/);
  assert.equal(actions(rows(null))[0][1], "nobody knows how far n5 is");
  assert.deepEqual([rows(null).part, rows(null).words], [null, "not known"]);
});

test("a snapshot on its way is the bar, whatever of the log it has", () => {
  const state = known({ learners: [member("n5")] }, { snapshot: { sending: [{ peer: "n5", bytes: 1024, of_bytes: 4096 }] } });
  const row = membersOf(state)[2];
  assert.equal(row.part, 0.25);
  assert.match(row.words, /^snapshot: 1.0 kB of 4.1 kB$/);
});

test("who asks is let in, or put in the place of its lost disk, with what it says of itself", () => {
  const again = { ...N4, name: "n1", incarnation: "new", replaces: "disk-n1", address: "" };
  const [, , first, second] = membersOf(known({ applicants: [N4, again] }));
  assert.deepEqual(first.actions.map(({ command, args }) => [command, args]), [["add_learner", { name: "n4", incarnation: "disk-n4", address: "n4:9001", client_url: "http://n4" }]]);
  assert.deepEqual(second.actions.map(({ command, args }) => [command, args]), [["replace_member", { name: "n1", incarnation: "new", client_url: "http://n4" }]]);
  assert.deepEqual([first.kind, second.kind], ["asks to be let in", "asks, with a new disk"]);
  assert.equal(new Set(membersOf(known({ applicants: [N4, again] })).map((row) => row.key)).size, 4);
});

test("nothing is offered without a leader, while a change is under way, or without the server of the page", () => {
  assert.equal(whyNoChange(known()), "");
  assert.equal(whyNoChange(known({ leader: "" })), "no leader is known");
  assert.equal(whyNoChange(known({ changing: true })), "a change is under way");
  assert.equal(whyNoChange({ ...known(), clusterError: "gone" }), "no connection");
});

test("the line above says how many there are of each", () => {
  assert.equal(membersWords(known()), "2 voters");
  assert.equal(membersWords(known({ learners: [member("n5")], applicants: [N4], changing: true })), "2 voters, 1 learner, 1 asks to be let in; a change is under way");
  assert.match(membersWords(known({ removed: true })), /n1 was removed/);
});

test("a learner is drawn as such, not as a follower, and what it is sent goes with it", () => {
  const status = (name, more) => ({ name, state: "reachable", age_ms: 0, status: { name, role: "follower", term: 3, leader: "n2", deadline_in_ms: 100, peers: [], voters: [], boot: name, uptime_ms: 1, ...more } });
  const lead = status("n2", { role: "leader", learners: [{ name: "n5" }], snapshot: { sending: [{ peer: "n5", bytes: 1, of_bytes: 2 }] } });
  const body = { nodes: [lead, status("n3"), status("n5"), { ...status("n6"), state: "unknown" }] };
  const state = trace.reduce(trace.initialState({ kind: "monitor" }), { type: "cluster", body, at: 1 });
  assert.equal(trace.nodesOf(state)[2].timer, null, "it never campaigns");
  assert.deepEqual(trace.nodesOf(state).map(({ name, role, sending }) => [name, role, sending?.bytes ?? 0]), [["n2", "leader", 0], ["n3", "follower", 0], ["n5", "learner", 1], ["n6", "unknown", 0]]);
});
