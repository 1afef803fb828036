/**
 * The ring: nodes, their links, who leads, who could be heard, and how much of each election timer is left.
 *
 * Shape, text and colour all say the role. Elements are made once and changed in place. It must not ask the server.
 */
import { groupsOf, linksOf, quorumOf } from "../connections.js";
import { filled, highestTerm, leaderOf, nodesOf, specOf } from "../trace.js";
import { duration, faultWords, grouped, roleName, short, whole } from "../sentences.js";
import { keyed, s, say, set } from "./dom.js";

const R = 33;
const TIMER_R = 43;
const NARROW_PX = 560;
const FRAMES_PER_SECOND = 15;
const STILL_BELOW_MS = 1000;
const MARK_PART = [0.28, 0.42];
const MARK_PX = 66;
const NOTES_MAX = 4;
const GROUP_LOOKS = 4;
/** The width of a letter: estimated, for measuring costs a layout. */
const LETTER = { wide: { role: 8.8, sub: 7.8 }, narrow: { role: 10.8, sub: 8.6 } };

const polygon = (corners, radius, turn = -90) =>
  Array.from({ length: corners }, (_, i) => {
    const angle = ((turn + (360 / corners) * i) * Math.PI) / 180;
    return `${(Math.cos(angle) * radius).toFixed(1)},${(Math.sin(angle) * radius).toFixed(1)}`;
  }).join("L");

const circle = (r) => `M0,${-r}A${r},${r} 0 1 1 0,${r}A${r},${r} 0 1 1 0,${-r}Z`;

/** A role's outline: hexagon leads, circle follows, diamond asks, square waits. */
export const SHAPES = {
  leader: `M${polygon(6, R + 4)}Z`,
  follower: circle(R),
  learner: `M${polygon(5, R + 5)}Z`,
  candidate: `M${polygon(4, R + 9)}Z`,
  "pre-candidate": `M${polygon(4, R + 9)}Z`,
  initial: `M${polygon(4, R + 8, -45)}Z`,
  unknown: circle(R),
};

export function makeRing(box, { pick }) {
  const groups = s("g", { "aria-hidden": "true" });
  const links = s("g", { "aria-hidden": "true" });
  const marks = s("g", { "aria-hidden": "true" });
  const centre = s("g", { "aria-hidden": "true" });
  const nodes = s("g", { role: "listbox", "aria-label": "Nodes of the ring; arrow keys move" });
  const svg = s("svg", { role: "group", "aria-label": "The ring of nodes; the table below says the same" }, groups, links, centre, marks, nodes);
  box.append(svg);
  const view = { places: new Map(), links: new Map(), width: 640, height: 470, svg, still: false, shown: null };
  let last = null;

  const shape = (width) => {
    const narrow = width < NARROW_PX;
    view.narrow = narrow;
    view.width = narrow ? 430 : 740;
    view.height = narrow ? 500 : 560;
    set(svg, "viewBox", `0 0 ${view.width} ${view.height}`);
  };
  shape(NARROW_PX);
  new ResizeObserver(([entry]) => {
    shape(entry.contentRect.width);
    view.shown = entry.contentRect;
    if (last) view.update(last.state, last.picked);
  }).observe(box);

  nodes.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...nodes.children];
    const now = all.indexOf(event.target);
    if (now < 0) return;
    let next = step ? (now + step + all.length) % all.length : { Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") next = now;
    if (next === undefined) return;
    event.preventDefault();
    all[next].focus();
    pick(all[next].dataset.name);
  });

  view.update = (state, picked) => {
    last = { state, picked };
    const list = nodesOf(state);
    place(view, list);
    const leader = leaderOf(state);
    const all = linksOf(state);
    view.links = new Map(all.map((link) => [`${link.from}>${link.to}`, link.state]));
    view.brief = view.narrow || all.filter((link) => link.state === "slow").length > NOTES_MAX;
    keyed(groups, groupsOf(state), (names) => names.join(" "), () => s("g", {}, s("path", {})), (g, names) => drawGroup(view, g, names));
    [...groups.children].forEach((g, i) => set(g, "class", `group g${i % GROUP_LOOKS}`));
    keyed(links, all, (link) => `${link.from}>${link.to}`, makeLink, (line, link) => drawLink(view, line, link, leader.name));
    keyed(marks, all.filter((link) => link.state === "cut" || link.state === "slow"), (link) => `${link.from}>${link.to}`, () => s("text", { class: "link-mark" }), (mark, link) => drawMark(view, mark, link));
    drawCentre(view, centre, state, leader);
    keyed(nodes, list, (node) => node.name, (node) => makeNode(node, pick), (g, node) => drawNode(view, g, node, state, picked));
    if (!nodes.querySelector('[tabindex="0"]') && nodes.firstChild) set(nodes.firstChild, "tabindex", 0);
  };
  return view;
}

const middle = (view) => view.height / 2 - 4;

function place(view, list) {
  const rx = view.width / 2 - (view.narrow ? 66 : 92);
  const ry = view.height / 2 - (view.narrow ? 80 : 78);
  /** Two neighbours at the bottom of the ring stand closest: so wide may the words below a node be. */
  view.room = list.length > 1 ? Math.min(view.narrow ? 146 : 280, 2 * rx * Math.sin(Math.PI / list.length) - 6) : view.width;
  view.places.clear();
  list.forEach((node, i) => {
    const angle = -Math.PI / 2 + (2 * Math.PI * i) / list.length;
    view.places.set(node.name, { x: view.width / 2 + Math.cos(angle) * rx, y: middle(view) + Math.sin(angle) * ry });
  });
}

/** The line from one node to another, beside the one of the other direction. */
export function lane(from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const [px, py] = [-uy * 3.5, ux * 3.5];
  const gap = TIMER_R + 4;
  return { x1: from.x + ux * gap + px, y1: from.y + uy * gap + py, x2: to.x - ux * gap + px, y2: to.y - uy * gap + py };
}

/** A shaded area round the places of a group: their hull, drawn with a very wide pen. Members stand in the ring's order. */
function drawGroup(view, g, names) {
  const points = names.map((name) => view.places.get(name)).filter(Boolean).map(({ x, y }) => `${x.toFixed(1)} ${(y + 12).toFixed(1)}`);
  set(g.firstChild, "d", points.length === 1 ? `M${points[0]}h0.1` : `M${points.join("L")}${points.length > 2 ? "Z" : ""}`);
  set(g.firstChild, "stroke-width", view.narrow ? 118 : 150);
}

/** Where on its way a link is marked, and a message ends that is cut: beyond the words of the sender, before the middle. */
export function markOf({ x1, y1, x2, y2 }) {
  const part = Math.min(MARK_PART[1], Math.max(MARK_PART[0], MARK_PX / Math.hypot(x2 - x1, y2 - y1)));
  return { x: x1 + (x2 - x1) * part, y: y1 + (y2 - y1) * part };
}

const makeLink = () => s("line", { class: "link" });

function drawLink(view, line, link, leader) {
  for (const [name, value] of Object.entries(lane(view.places.get(link.from), view.places.get(link.to)))) set(line, name, value.toFixed(1));
  set(line, "class", `link ${link.state}${link.from === leader && link.state === "up" ? " main" : ""}`);
}

/** What a fault does to a link, beside its sender. */
function drawMark(view, mark, link) {
  const { x, y } = markOf(lane(view.places.get(link.from), view.places.get(link.to)));
  set(mark, "x", x.toFixed(1));
  set(mark, "y", y.toFixed(1));
  set(mark, "class", `link-mark ${link.state}`);
  say(mark, link.state === "cut" ? "✕" : view.brief ? "~" : link.note);
}

function drawCentre(view, g, state, leader) {
  if (!g.firstChild) {
    g.append(
      s("circle", { class: "centre", r: 58 }),
      s("text", { class: "centre-text", y: -30 }, "term"),
      s("text", { class: "centre-text big", y: 2 }),
      s("text", { class: "centre-text", y: 22 }),
      s("g", {}),
    );
  }
  const { voters, heard, majority } = quorumOf(state);
  set(g, "visibility", state.cluster ? null : "hidden");
  set(g, "transform", `translate(${view.width / 2},${middle(view) + 14})`);
  say(g.children[2], String(highestTerm(state) || "–"));
  say(g.children[3], leader.name ? `${short(leader.name)} leads` : "no leader");
  const pips = Array.from({ length: voters }, (_, i) => i);
  const left = -((voters - 1) * 13) / 2;
  const row = g.children[4];
  keyed(row, pips, (i) => i, () => s("circle", { class: "pip", r: 4, cy: 40 }), (pip, i) => {
    set(pip, "cx", left + i * 13);
    set(pip, "class", i < heard ? "pip heard" : "pip");
  });
  row.line ??= row.appendChild(s("line", { class: "pip-line", y1: 33, y2: 47 }));
  const x = left + (majority - 0.5) * 13;
  set(row.line, "x1", x);
  set(row.line, "x2", x);
}

function makeNode(node, pick) {
  const g = s(
    "g",
    { class: "node", role: "option", tabindex: -1, "data-name": node.name },
    s("circle", { class: "picked", r: 53 }),
    s("circle", { class: "glow", r: 51 }),
    s("circle", { class: "timer-track", r: TIMER_R }),
    s("circle", { class: "timer", r: TIMER_R, transform: "rotate(-90)", pathLength: 100, "stroke-dasharray": "100 100" }),
    s("path", { class: "shape" }),
    s("text", { class: "name", y: 1 }, node.name),
    " ",
    s("text", { class: "term", y: 16 }),
    " ",
    s("text", { class: "role", y: 66 }),
    " ",
    s("text", { class: "sub", y: 82 }),
    " ",
    s("text", { class: "you", y: -50 }),
  );
  g.addEventListener("click", () => pick(node.name));
  return g;
}

function drawNode(view, g, node, state, picked) {
  const [, , track, timer, shape, name, term, role, sub, you] = g.children;
  const { x, y } = view.places.get(node.name);
  set(g, "transform", `translate(${x.toFixed(1)},${y.toFixed(1)})`);
  set(g, "class", `node ${node.role}`);
  set(g, "aria-selected", node.name === picked ? "true" : "false");
  set(g, "tabindex", node.name === picked ? 0 : -1);
  set(shape, "d", SHAPES[node.role] ?? SHAPES.follower);
  say(name, short(node.name));
  say(term, node.status ? `term ${node.term}` : "term ?");
  const [below, alarm] = belowNode(view, node);
  set(sub, "class", alarm ? "sub alarm" : "sub");
  const letter = view.narrow ? LETTER.narrow : LETTER.wide;
  const room = view.room;
  say(role, fitting(roleWords(node), room / letter.role));
  say(sub, fitting(below, room / letter.sub));
  set(role, "x", inside(view, x, role.textContent.length * letter.role));
  set(sub, "x", inside(view, x, sub.textContent.length * letter.sub));
  say(you, node.self && state.source.kind === "node" ? "this node" : "");
  // What is written is what is read out, with pauses, and the whole name where it is cut
  const whole = name.textContent === node.name ? "" : `name ${node.name}`;
  set(g, "aria-label", [name.textContent, term.textContent, roleWords(node), below, you.textContent, whole].filter(Boolean).join(", "));
  drawTimer(view, timer, track, node);
}

/** The small words below a node, and whether they are an alarm. */
function belowNode(view, node) {
  const faults = grouped(node.faults.map((fault) => ({ ...fault, peer: short(fault.peer ?? "") })));
  if (faults.length) return [(view.narrow ? briefly(faults[0]) : faultWords(faults[0])) + (faults.length > 1 ? ` and ${faults.length - 1} more` : ""), true];
  if (node.stale) return [`leads only term ${node.term}`, true];
  if (!node.reachable) return [lastWords(node, view.narrow), false];
  if (node.role === "learner") return [catchUpWords(node), false];
  return [node.status.vote ? (node.status.vote === node.name ? "voted for itself" : `voted ${short(node.status.vote)}`) : "", false];
}

/** How far a learner is, in as few words as stand below a node. */
function catchUpWords({ sending, match }) {
  if (sending) return `snapshot ${Math.floor((100 * sending.bytes) / (sending.of_bytes || 1))} %`;
  if (!match?.progress) return "";
  return match.lag_entries ? `lacks ${whole(match.lag_entries)}` : "up to date";
}

function briefly(fault) {
  const spec = specOf(fault);
  if (!spec || !fault.peer) return spec ? filled(spec.note, fault) : fault.kind;
  return spec.stops ? `${fault.links} link${fault.links > 1 ? "s" : ""} cut` : filled(spec.note, fault);
}

const fitting = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, Math.floor(most) - 1))}…` : text);

/** How far a text below a node at `x` must move to stay within the ring. */
function inside(view, x, width) {
  return Math.max(0, width / 2 - x) - Math.max(0, width / 2 - (view.width - x));
}

export function roleWords(node) {
  if (node.reachable && node.role === "initial") return `${roleName(node.role)}, no vote`;
  if (node.reachable) return (node.stale ? "stale leader" : roleName(node.role)) + (node.status.leaving ? ", leaving" : "");
  return { unknown: "unknown", stopped: "stopped", dead: "dead" }[node.state] ?? node.state;
}

function lastWords(node, brief) {
  if (!node.status) return "not heard yet";
  return brief ? `was ${node.lastRole}` : `was ${node.lastRole}, ${duration(node.ageMs)} ago`;
}

/** The arc runs down as the timer does. Too fast to follow, or motion unwanted: it stands at what was last told. */
function drawTimer(view, arc, track, node) {
  const { timer } = node;
  set(track, "visibility", timer ? "visible" : "hidden");
  set(arc, "visibility", timer ? "visible" : "hidden");
  if (!timer) {
    arc.run?.cancel();
    arc.told = "";
    return;
  }
  const told = `${timer.at}/${timer.left}/${view.still}`;
  if (arc.told === told) return;
  arc.told = told;
  arc.run?.cancel();
  const part = (left) => `${Math.max(0.01, (100 * left) / timer.total)} 100`;
  const passed = Math.max(0, Date.now() - timer.at);
  const left = timer.total < STILL_BELOW_MS && !node.self ? timer.left : Math.max(0, timer.left - passed);
  set(arc, "stroke-dasharray", part(left));
  if (view.still || left <= 0 || timer.total < STILL_BELOW_MS) return;
  const steps = Math.max(1, Math.round((left / 1000) * FRAMES_PER_SECOND));
  arc.run = arc.animate([{ strokeDasharray: part(left) }, { strokeDasharray: part(0) }], {
    duration: left,
    easing: `steps(${steps})`,
    fill: "forwards",
  });
}
