/**
 * Who reaches whom: links, who hears whom, groups, cuts, and how many voters are heard. One viewpoint for all of them.
 *
 * A node's page sees what that node hears. The monitor asks every node, and being within its reach says nothing of
 * whether nodes reach each other: there each node's own word counts. Pure.
 */

import { votersOf } from "./headline.js";
import { activeFaults, faultsOf, filled, leaderOf, specOf } from "./trace.js";

export const HEARD_MS_MAX = 2000;
/** A node tells its peers its status every half second. */

/** Every state of a link, as `linksOf` gives them and the legend explains them. */
export const LINK_STATES = ["up", "slow", "silent", "down", "cut", "unknown"];

/** Whose eyes hub, headline and links use. */
export function seenBy(state) {
  return state.source.kind === "monitor" ? "as seen by the monitor: from each node's own word" : `as seen by ${state.source.name}`;
}

const isHeard = (node) => node.state === "reachable" && Boolean(node.status);

/**
 * Every directed link: `from` speaks to `to`. "up"; "down": the sender says so; "silent": the sender says up and the
 * receiver hears nothing; "cut" or "slow": a fault that is on; "unknown" where the sender is not heard.
 */
export function linksOf(state) {
  const nodes = state.cluster?.nodes ?? [];
  return nodes.flatMap((from) => nodes.filter((to) => to !== from).map((to) => {
    const fault = faultOn(from, to);
    return { from: from.name, to: to.name, state: fault?.state ?? plain(from, to), note: fault?.note ?? "" };
  }));
}

function plain(from, to) {
  const peer = from.status?.peers?.find((one) => one.name === to.name);
  if (!isHeard(from) || !peer) return "unknown";
  if (!peer.link_up) return "down";
  const back = isHeard(to) && to.status.peers?.find((one) => one.name === from.name);
  return !back || heardLately(back) ? "up" : "silent";
}

const heardLately = ({ last_contact_ms: ago }) => typeof ago === "number" && ago <= HEARD_MS_MAX;

function faultOn(from, to) {
  const known = [
    ...[...activeFaults(from), ...activeFaults(to)].filter((one) => !one.peer),
    ...activeFaults(from).filter((one) => one.peer === to.name && one.direction !== "in"),
    ...activeFaults(to).filter((one) => one.peer === from.name && one.direction !== "out"),
  ].filter(specOf);
  const fault = known.find((one) => specOf(one).stops) ?? known[0];
  return fault ? { state: specOf(fault).stops ? "cut" : "slow", note: filled(specOf(fault).note, fault) } : null;
}

/** Whether two nodes reach each other, both ways: a function of their names. */
function reaching(state) {
  const open = new Set(linksOf(state).filter((link) => link.state === "up" || link.state === "slow").map((link) => `${link.from}>${link.to}`));
  const heard = new Set((state.cluster?.nodes ?? []).filter(isHeard).map((node) => node.name));
  return (a, b) => a === b || (heard.has(a) && heard.has(b) && open.has(`${a}>${b}`) && open.has(`${b}>${a}`));
}

/**
 * The heard nodes by who reaches whom: the leader with all that it reaches first, then what hangs together of the
 * others. One group alone is none, unless links are cut.
 */
export function groupsOf(state) {
  const both = reaching(state);
  let left = (state.cluster?.nodes ?? []).filter(isHeard).map((node) => node.name);
  const groups = [];
  const take = (names) => {
    groups.push(names);
    left = left.filter((name) => !names.includes(name));
  };
  const { name: leader } = leaderOf(state);
  if (left.includes(leader)) take(left.filter((name) => both(name, leader)));
  while (left.length) {
    const names = [left[0]];
    for (const name of names) names.push(...left.filter((one) => !names.includes(one) && both(name, one)));
    take(left.filter((name) => names.includes(name)));
  }
  return groups.length > 1 || cutsOf(state).length ? groups : [];
}

/** How many voters there are, how many are heard and `by` whom ("": by the server of the page), and how many decide. */
export function quorumOf(state) {
  const nodes = state.cluster?.nodes ?? [];
  const names = votersOf(nodes);
  const born = nodes.some((node) => node.status?.voters?.length);
  const voting = nodes.filter((node) => names.includes(node.name) && isHeard(node) && (!born || node.status.role !== "initial")).map((node) => node.name);
  const counted = { voters: names.length, heard: voting.length, by: "", majority: Math.floor(names.length / 2) + 1 };
  if (state.source.kind !== "monitor" || !voting.length) return counted;
  const both = reaching(state);
  const reached = (name) => voting.filter((one) => both(name, one)).length;
  const { name: leader } = leaderOf(state);
  const by = voting.includes(leader) ? leader : voting.reduce((best, name) => (reached(name) > reached(best) ? name : best));
  return { ...counted, heard: reached(by), by };
}

/** Links that a fault stops, on purpose: `{ from, to }` each way, with when the fault ends. */
export function cutsOf(state) {
  const cut = new Map();
  for (const fault of faultsOf(state)) {
    if (!specOf(fault)?.stops || !fault.peer) continue;
    const ways = [
      ...(fault.direction === "in" ? [] : [[fault.node, fault.peer]]),
      ...(fault.direction === "out" ? [] : [[fault.peer, fault.node]]),
    ];
    for (const [from, to] of ways) {
      const ends = Math.max(cut.get(`${from}>${to}`)?.ends ?? 0, fault.expires_in_ms ?? Infinity);
      cut.set(`${from}>${to}`, { from, to, ends });
    }
  }
  return [...cut.values()];
}
