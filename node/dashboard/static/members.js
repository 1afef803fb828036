/**
 * Who belongs to the cluster and who asks to, how far each has got, and what can be done about it: state -> rows.
 *
 * Why it exists: only the leader changes members, and only what it would not refuse at once is offered. Pure.
 */

import { bytes, whole } from "./sentences.js";

/** A learner that lacks no more is given a vote (node/raft/changes.py). */
export const CAUGHT_UP_ENTRIES = 1000;

/** The leader's word of what it sends: its snapshots on their way, by the follower's name. */
function sendingOf(state) {
  const lead = state.cluster?.nodes.find((node) => node.name === state.members?.leader);
  return new Map((lead?.status?.snapshot?.sending ?? []).map((one) => [one.peer, one]));
}

/** How much of the leader's log it has, 0 to 1 (null: nobody knows), and the same in words. */
function progressOf(member, sending) {
  const on = sending.get(member.name);
  if (on) return { part: on.of_bytes ? on.bytes / on.of_bytes : 0, words: `snapshot: ${bytes(on.bytes)} of ${bytes(on.of_bytes)}` };
  const { match_index: match, lag_entries: lag } = member;
  if (typeof lag !== "number") return { part: null, words: "not known" };
  return { part: match + lag ? match / (match + lag) : 1, words: lag ? `lacks ${whole(lag)} of ${whole(match + lag)}` : "up to date" };
}

const remove = (name) => ({ command: "remove_member", words: `remove ${name} …`, args: { name }, ask: `Remove ${name} for good? It comes back only where somebody adds it again.`, why: "" });

function promote({ name, lag_entries: lag }) {
  const behind = typeof lag !== "number" ? `nobody knows how far ${name} is` : lag > CAUGHT_UP_ENTRIES ? `${name} lacks ${whole(lag)} entries yet` : "";
  return { command: "promote_learner", words: `give ${name} a vote`, args: { name }, ask: "", why: behind };
}

/** What an applicant said of itself goes with it: the leader may not have been asked. */
function letIn({ name, incarnation, address, client_url: url, replaces }) {
  const said = Object.fromEntries(Object.entries({ name, incarnation, address, client_url: url }).filter(([, value]) => value));
  return { command: replaces ? "replace_member" : "add_learner", words: replaces ? `replace ${name}'s lost disk` : `let ${name} in`, args: said, ask: "", why: "" };
}

/** One row for each member and each that asks; `key` tells the two disks of one name apart. */
export function membersOf(state) {
  const body = state.members;
  if (!body) return [];
  const sending = sendingOf(state);
  const member = (kind, actions) => (one) => ({
    key: `${kind} ${one.name} ${one.incarnation}`,
    name: one.name,
    kind: one.leader ? "leader" : kind,
    reached: one.address || "–",
    ...progressOf(one, sending),
    actions: actions(one),
  });
  return [
    ...body.voters.map(member("voter", (one) => [remove(one.name)])),
    ...body.learners.map(member("learner", (one) => [promote(one), remove(one.name)])),
    ...body.applicants.map((one) => ({
      key: `asks ${one.name} ${one.incarnation}`,
      name: one.name,
      kind: one.replaces ? "asks, with a new disk" : "asks to be let in",
      reached: one.address || "–",
      part: null,
      words: "–",
      actions: [letIn(one)],
    })),
  ];
}

/** Why nothing can be changed now; empty: it can. */
export function whyNoChange(state) {
  if (state.clusterError) return "no connection";
  if (!state.members?.leader) return "no leader is known";
  return state.members.changing ? "a change is under way" : "";
}

/** All of it in one line. */
export function membersWords(state) {
  const body = state.members;
  if (!body) return "";
  const count = (list, one) => (list.length ? [`${list.length} ${one}${list.length === 1 ? "" : "s"}`] : []);
  const asking = body.applicants.length ? [`${body.applicants.length} ask${body.applicants.length === 1 ? "s" : ""} to be let in`] : [];
  const said = [...count(body.voters, "voter"), ...count(body.learners, "learner"), ...asking].join(", ");
  const removed = body.removed ? `; ${body.node} was removed, so this is what it knew last` : "";
  return `${said || "not born yet"}${body.changing ? "; a change is under way" : ""}${removed}`;
}
