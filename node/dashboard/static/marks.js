/**
 * Every mark that the page draws, with its name and what it means: the legend below the ring and the help are made from
 * this table, and a test holds it against what the views, the tables and the style sheet know.
 */

import { ROLES } from "./words.js";

/** A role: its form, what it means, and what more the ring says of it. */
const role = (name, form, more = "") => [name, ROLES[name].name, `${form}: ${ROLES[name].means}${more}`];

/** By where it is drawn: `[look, name, meaning]`. `look` is the class, or the sign itself, that the views use. */
export const MARKS = {
  node: [
    role("leader", "hexagon with a glow", "; \"stale\" where a higher term is known"),
    role("follower", "circle"),
    role("learner", "dashed pentagon", "; below it what it lacks"),
    role("pre-candidate", "dashed diamond"),
    role("candidate", "diamond"),
    role("initial", "dashed square"),
    ["unknown", "unknown or dead", "dotted circle, greyed: not heard. It is called dead only where its parent process says so"],
  ],
  around: [
    ["timer", "election timer", "what is left of it; a leader that is heard winds it up again"],
    ["picked", "picked", "dotted ring: the node that is picked"],
    ["alarm", "alarm", "red words below a node: a fault that is on, or a leader whose term is over"],
  ],
  group: [["group", "reach each other", "shaded area: these nodes hear each other, and not those of another area"]],
  link: [
    ["main", "leader to follower", "thick line: from the leader to those it reaches"],
    ["up", "up", "thin line, one for each direction: what is said arrives"],
    ["slow", "slow or lossy", "a fault delays, loses or damages what is said; beside it how much, or ~"],
    ["silent", "nothing arrives", "the sender says that its link is up, and the receiver hears nothing"],
    ["down", "down", "dotted: the sender says that it has no link"],
    ["cut", "cut", "✕: cut on purpose; nothing passes, and messages end here"],
    ["unknown", "unknown", "faint: the sender is not heard"],
  ],
  message: [
    ["vote", "election", "square with a letter"],
    ["append", "entries", "box with + and how many"],
    ["heartbeat", "heartbeat", "small dot"],
    ["read", "read round", "drop: the leader makes sure that it still leads"],
    ["other", "other message", "plain dot"],
    ["reply", "reply", "hollow: the answer"],
    ["refused", "refused", "red, with ✗"],
    ["broken", "lost", "fades on its way: it does not arrive, or nobody knows whether it does"],
  ],
  letter: [
    ["P", "pre-vote", "asks for a vote in earnest later"],
    ["V", "vote", "asks for a vote"],
    ["S", "snapshot", "a piece of a snapshot, for one that needs what the log does not hold any more"],
    ["T", "take over", "the leader asks it to stand for election at once"],
    ["C", "command", "an operator's command on its way"],
    ["+", "entries", "new entries of the log"],
    ["✓", "yes", "granted, or accepted"],
    ["✗", "no", "refused"],
  ],
  hub: [
    ["pip heard", "voter heard", "full dot: a voter that is heard by whom the headline names"],
    ["pip", "voter not heard", "empty dot"],
    ["pip-line", "majority", "the line stands where a majority begins"],
  ],
  log: [
    ["open", "○ open", "written here, not known to be on a majority"],
    ["committed", "✓ committed", "on a majority: it stays"],
    ["applied", "✓✓ applied", "the store has it"],
    ["match", "◂ n2", "so far this follower's log is known to equal the leader's"],
  ],
  figure: [
    ["chip", "number in a colour", "a term; equal terms have equal colours"],
    ["bar", "green bar", "how much of the leader's log a follower has, or of the snapshot that is on its way to it"],
  ],
};

/** What the legend shows at a glance, all of it drawn in the ring; the rest is in the help. */
export const IN_LEGEND = ["node", "around", "group", "link", "message", "hub"];

/** What the help calls each place. */
export const PLACES = {
  node: "Nodes",
  around: "Around a node",
  group: "Areas",
  link: "Links",
  message: "Messages",
  letter: "On a message",
  hub: "In the middle",
  log: "Log",
  figure: "Figures",
};
