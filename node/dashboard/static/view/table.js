/** The table of nodes: everything the ring says, for eyes and ears that prefer rows. */
import { linksOf } from "../connections.js";
import { nodesOf, termColour } from "../trace.js";
import { bytes, duration, faultWords, grouped, whole } from "../sentences.js";
import { h, keyed, say, set } from "./dom.js";
import { roleWords } from "./ring.js";

const COLUMNS = ["Node", "Role", "Term", "Vote", "Leader", "Commit", "Applied", "Last", "Follows", "Hears", "As of", "Faults"];
const FRESH_MS = 20;
const NUMBERS = new Set(["Commit", "Applied", "Last"]);

export function makeTable(box, { pick }) {
  const body = h("tbody");
  const head = h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col", class: NUMBERS.has(name) ? "num" : null }, name)));
  box.append(h("table", {}, h("caption", { class: "quiet" }, "Every node as it is seen from here"), h("thead", {}, head), body));

  const make = (node) => {
    const button = h("button", { type: "button", class: "link", onclick: () => pick(node.name) }, node.name);
    const row = h("tr", {}, h("th", { scope: "row" }, button, h("span", { class: "dim" })));
    row.append(...COLUMNS.slice(1).map((name) => h("td", { class: NUMBERS.has(name) ? "num" : null })));
    row.children[2].append(h("span", { class: "chip" }));
    row.children[8].append(h("span", { class: "bar", "aria-hidden": "true" }, h("i")), h("span"));
    return row;
  };

  return (state, picked) => {
    const nodes = nodesOf(state);
    const links = linksOf(state);
    keyed(body, nodes, (node) => node.name, make, (row, node) => {
      const cells = row.children;
      const { status } = node;
      set(row, "class", node.name === picked ? "picked" : null);
      say(cells[0].children[1], node.self && state.source.kind === "node" ? " (here)" : "");
      say(cells[1], node.reachable ? roleWords(node) : `${roleWords(node)}${status ? `, was ${node.lastRole}` : ""}`);
      set(cells[1], "class", node.reachable ? null : "dim");
      say(cells[2].firstChild, status ? String(node.term) : "?");
      set(cells[2].firstChild, "class", `chip c${termColour(node.term)}`);
      say(cells[3], status?.vote || "–");
      say(cells[4], status?.leader || "–");
      say(cells[5], number(status?.commit));
      say(cells[6], number(status?.applied));
      say(cells[7], number(status?.last_index));
      const part = node.sending ? node.sending.bytes / (node.sending.of_bytes || 1) : node.leads ? 1 : node.role === "initial" ? null : node.match?.match_index !== undefined && node.lastIndex ? node.match.match_index / node.lastIndex : null;
      set(cells[8].firstChild, "hidden", part === null ? "" : null);
      if (part !== null) cells[8].firstChild.firstChild.style.transform = `scaleX(${Math.min(1, part)})`;
      say(cells[8].lastChild, follows(node));
      const toIt = links.filter((link) => link.to === node.name);
      say(cells[9], node.reachable ? `${toIt.filter((link) => link.state === "up" || link.state === "slow").length} of ${toIt.length}` : "?");
      say(cells[10], !status ? "–" : node.ageMs < FRESH_MS && node.reachable ? "now" : `${duration(node.ageMs)} ago`);
      say(cells[11], grouped(node.faults).map(faultWords).join(", ") || (node.stale ? "stale: a higher term exists" : "none"));
    });
  };
}

function number(value) {
  return value === undefined || value === null ? "–" : whole(value);
}

function follows(node) {
  if (node.leads) return "leads";
  if (node.reachable && node.role === "initial") return "no vote";
  if (node.sending) return `gets a snapshot: ${bytes(node.sending.bytes)} of ${bytes(node.sending.of_bytes)}`;
  if (!node.match?.progress) return "–";
  const { lag_entries: lag, match_index: match, progress } = node.match;
  if (!match) return `not known yet, ${progress}`;
  return lag ? `${number(lag)} behind, ${progress}` : `up to date, ${progress}`;
}
