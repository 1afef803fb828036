/** The top of the page: what the cluster can do, who leads, whose eyes these are, faults, and how old all of it is. */
import { cutsOf, quorumOf, seenBy } from "../connections.js";
import { factsOf, sentenceOf } from "../headline.js";
import { awayWords, cutWords, duration, faultWords, grouped, headline, mixedWords, pageOf, waiting } from "../sentences.js";
import { alarmLines } from "../store.js";
import { faultsOf, leaderOf, nodesOf, ownStatus, specOf, strangers } from "../trace.js";
import { at, clock, h, keyed, say, set } from "./dom.js";

const PANELS = ["log", "stats", "events", "output"];

export function makeTop(source) {
  const server = source.kind === "monitor" ? "The monitor" : source.name;
  return (state) => {
    const leader = leaderOf(state);
    const known = Boolean(state.cluster);
    const seen = seenBy(state);
    const nodes = nodesOf(state);
    set(document.body, "class", state.clusterError ? "old" : null);
    const age = duration(Math.max(0, state.now - state.clusterAt));
    say(at("ability"), known ? `${state.clusterError ? `Not known now. ${age} ago: ` : ""}${sentenceOf(factsOf(state.cluster.nodes))}` : "Nothing heard yet.");
    const lostTouch = state.clusterError ? (known ? ` But all of this is old: ${state.clusterError}.` : ` The reason: ${state.clusterError}.`) : "";
    say(at("headline"), (known ? headline({ leader, quorum: quorumOf(state), known, seen }) : "") + lostTouch);
    for (const by of ["ring-by", "nodes-note"]) say(at(by), known ? seen : "");
    for (const panel of PANELS) say(at(`${panel}-of`), state.viewpoint ? `of ${state.viewpoint}` : "");
    say(at("kv-of"), source.kind === "monitor" ? "through whoever answers" : `through ${source.name}`);
    drawConnection(state, nodes);
    document.title = `${leader.name ? `${leader.name} leads term ${leader.term}` : known ? "no leader" : "…"} · ${source.name || "Raft cluster"}`;
    drawLost(state, nodes, age);
    drawAlarms(nodes);
    drawFaults(state, nodes);
    drawWaiting([...mixedWords(source.name, strangers(state).names), ...waiting(nodes)]);
  };

  function drawConnection(state, nodes) {
    const off = awayWords(nodes.find((one) => one.self));
    const [text, look] = state.clusterError ? ["no connection", "bad"] : { open: ["live", "good"], connecting: ["connecting", ""], lost: ["stream lost, retrying", "warn"], off: [off, "warn"] }[state.stream.state];
    say(at("connection"), text);
    set(at("connection"), "class", `badge ${look}`);
  }

  /** The server of the page is away: since when, and where else one may look. */
  function drawLost(state, nodes, age) {
    const gone = Boolean(state.clusterError && state.cluster);
    set(at("lost"), "hidden", gone ? null : "");
    if (!gone) return;
    say(at("lost-words"), `${server} has not answered for ${age}: everything here is as it was at ${clock(state.clusterAt).slice(0, 8)}, and commands are off.`);
    const others = nodes.filter((node) => node.name !== source.name && node.status?.client_url);
    say(at("lost-more"), others.length ? "Pages of the other nodes:" : "");
    const own = source.kind === "node" ? ownStatus(state)?.client_url : location.origin;
    keyed(at("lost-links"), others, (node) => node.name, (node) => {
      const { href, words } = pageOf(node.name, node.status.client_url, own, location);
      return href ? h("a", { href }, node.name) : h("span", { title: words ?? "" }, `${node.name} (${node.status.client_url})`);
    }, () => {});
  }

  /** One line tells all cuts, whoever tells of them; other faults one by one. */
  function drawFaults(state, nodes) {
    const rest = grouped(faultsOf(state).filter((fault) => !fault.peer || !specOf(fault)?.stops));
    const cut = cutWords(cutsOf(state), nodes.map((node) => node.name));
    const words = (fault) => `⚠ ${fault.node}: ${faultWords(fault)}${typeof fault.expires_in_ms === "number" ? `, ends in ${duration(Math.ceil(fault.expires_in_ms / 1000) * 1000)}` : ""}`;
    const lines = [...(cut ? [["cut", `✕ ${cut}`]] : []), ...rest.map((fault) => [`${fault.node}/${fault.kind}/${fault.value}/${fault.direction}`, words(fault)])];
    set(at("faults"), "hidden", lines.length ? null : "");
    keyed(at("faults"), lines, (line) => line[0], () => h("span"), (span, line) => say(span, line[1]));
  }

  function drawAlarms(nodes) {
    const lines = alarmLines(nodes);
    set(at("alarms"), "hidden", lines.length ? null : "");
    keyed(at("alarms"), lines, (line) => line.alarm, () => h("span"), (span, line) => say(span, `⚠ ${line.words}`));
  }

  function drawWaiting(sentences) {
    set(at("waiting"), "hidden", sentences.length ? null : "");
    keyed(at("waiting"), sentences, (sentence) => sentence, (sentence) => h("span", {}, sentence), () => {});
  }
}
