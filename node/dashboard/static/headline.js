/**
 * What the cluster can do now, in one sentence for people: nodes -> facts -> sentence.
 *
 * Why it exists: `raft-node status` and the page must say the same of the same facts; tests/headline_cases.json holds
 * both to it. Pure.
 */

import { FAULTS } from "./words.js";

const ROOM_BYTES = 1024;
const STORE_IS_FULL = "NOSPACE";
const WORDS = ["no", "one", "two", "three", "four"];

const isHeard = (node) => node.state === "reachable" && Boolean(node.status);
const isDown = (node) => node.process?.state === "ended" || node.state === "dead";
const failed = ({ kind }) => kind === FAULTS.simulate_failure.kind || kind === "simulate_failure";

/** Heard, but it can take no part: no vote, as if dead, or about to end. */
const isMute = ({ status }) => status.role === "initial" || Boolean(status.fatal) || (status.faults ?? []).some(failed);

/** Whom the heard nodes follow, or who leads, in the highest term: `{ name, term }`. */
function followed(nodes) {
  let found = { name: "", term: 0 };
  for (const { status } of nodes) {
    const name = status.role === "leader" ? status.name : status.leader;
    if (name && status.term > found.term) found = { name, term: status.term };
  }
  return found;
}

/** The names of the voters: the leader's word, else that of the highest term, else whoever is looked for. */
export function votersOf(nodes) {
  const born = (some) => some.filter(({ status }) => status?.voters?.length).sort((a, b) => b.status.term - a.status.term);
  const heard = nodes.filter(isHeard);
  const { name } = followed(heard);
  const known = [...heard.filter((node) => node.name === name && node.status.voters?.length), ...born(heard), ...born(nodes)][0];
  if (known) return known.status.voters.map((voter) => voter.name);
  return [...new Set([...nodes.map((node) => node.name), ...nodes.flatMap((node) => (node.status?.peers ?? []).map((peer) => peer.name))])];
}

/** Of `nodes` as /cluster lists them; every voter is counted once. */
export function factsOf(nodes) {
  const voters = votersOf(nodes);
  const by = new Map(nodes.map((node) => [node.name, node]));
  const all = voters.map((name) => by.get(name) ?? { name, state: "unknown", status: null });
  const heard = all.filter((node) => isHeard(node) && !isDown(node));
  const able = heard.filter((node) => !isMute(node));
  const { name, term } = followed(able);
  const follows = ({ status }) => Boolean(name) && status.term === term && (status.role === "leader" ? status.name : status.leader) === name;
  const leading = able.find((node) => node.name === name);
  const lost = heard.some((node) => node.name === name) || all.some((node) => node.name === name && isDown(node));
  const born = !heard.length || nodes.some(({ status }) => status?.cluster_id || status?.voters?.length);
  return {
    born,
    voters: voters.length,
    following: able.filter(follows).length,
    looking: born ? able.filter((node) => !follows(node)).length : heard.length,
    mute: born ? heard.length - able.length : 0,
    down: all.filter(isDown).length,
    silent: all.filter((node) => !isDown(node) && !isHeard(node)).length,
    leader: name,
    leader_is: leading ? "heard" : !name ? "" : lost ? "down" : "silent",
    log_full: Boolean(leading) && leading.status.log_bytes + ROOM_BYTES > (leading.status.log_limit_bytes || Infinity),
    store_full: Boolean(leading) && (leading.status.alarms ?? []).some(({ alarm }) => alarm === STORE_IS_FULL),
  };
}

export function sentenceOf(facts) {
  const { voters, following, looking, mute, down, silent } = facts;
  const majority = Math.floor(voters / 2) + 1;
  const part = (count, one, many) => (count ? [`${count} of ${voters} ${count === 1 ? one : many}`] : []);
  const missing = [...part(down, "down", "down"), ...part(silent, "not heard", "not heard"), ...part(mute, "takes no part", "take no part")];
  const said = (...parts) => `${parts.flat().join("; ")}.`;
  const allUp = missing.length ? missing : [`all ${voters} up`];
  if (down === voters) return `Down: none of ${voters} runs.`;
  if (!following && !looking && !mute) return said("Unknown: nobody answers", missing);
  if (!facts.born) return said(`Not born yet: reads and writes wait until all ${voters} have met`, missing);
  if (following >= majority && facts.leader_is === "silent") return said(`Unknown: ${following} of ${voters} follow ${facts.leader}, which is not heard`);
  if (following >= majority && facts.leader_is === "heard") {
    const not = [...missing, ...part(looking, "follows no leader", "follow no leader")];
    const spare = following - majority;
    const lose = not.length ? `${WORDS[spare] ?? spare} more` : spare ? (WORDS[spare] ?? spare) : "none";
    const what = facts.store_full ? "Serves reads and deletes, refuses puts (the store is full)" : "Serves reads and writes";
    return said(facts.log_full ? "Serves reads, refuses writes (the log is full)" : what, not.length ? not : [`all ${voters} up`], `can lose ${lose}`);
  }
  if (following + looking >= majority) return said("No leader yet: writes and linearizable reads wait for an election", allUp);
  if (following + looking + silent < majority) return said("No quorum: writes and linearizable reads wait", missing);
  return said("Unknown: too few are heard to tell", missing, facts.leader_is === "silent" ? [`those heard follow ${facts.leader}`] : []);
}
