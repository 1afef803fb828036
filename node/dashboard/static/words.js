/**
 * The words and looks of what a node tells, each from its table in the node's code: made by `make generated`, never by
 * hand. Where a template does not do, sentences.js has words of its own.
 */

/** Kinds of events (node/observe/events.py): in which group they are listed, and what happened. */
export const KINDS = {
  "started": {"group": "life", "says": "started, version {version}"},
  "leaving": {"group": "life", "says": ""},
  "stopping": {"group": "life", "says": "is stopping{because}"},
  "fatal": {"group": "life", "says": "must stop{because}"},
  "born": {"group": "life", "says": "the cluster is born; its voters are {voters}"},
  "role": {"group": "elections", "says": ""},
  "term": {"group": "elections", "says": ""},
  "leader": {"group": "elections", "says": ""},
  "leader-gone": {"group": "elections", "says": "saw that the process of {leader} is gone: links broke, its port refuses"},
  "leader-back": {"group": "elections", "says": "heard {leader} again: its process lives"},
  "election": {"group": "elections", "says": ""},
  "won": {"group": "elections", "says": "won the election of term {term} with {votes} votes"},
  "vote": {"group": "elections", "says": ""},
  "vote-reply": {"group": "elections", "says": ""},
  "quorum-lost": {"group": "elections", "says": "stepped down: a majority was not heard ({heard} heard)"},
  "disk-silent": {"group": "elections", "says": "{then}: its disk has not answered for {silent_ms} ms"},
  "truncated": {"group": "log", "says": "removed {count} entries from {from} on, which the leader does not have"},
  "snapshot": {"group": "log", "says": "snapshot of {index}: {phase}{because}"},
  "snapshot-sent": {"group": "log", "says": "sends {peer} a snapshot of {index}: {phase}{because}"},
  "snapshot-installed": {"group": "log", "says": "put the leader's snapshot of {index} in the place of its log, which ended at {last}"},
  "append-refused": {"group": "log", "says": "refused entries of {leader} at {index}: they do not fit"},
  "members": {"group": "elections", "says": "{says}, by entry {index}"},
  "left-out": {"group": "elections", "says": "was removed while it was away, says {peer}: at entry {index} it is no member"},
  "progress": {"group": "log", "says": "now sends to {peer} in mode {to}, was {from}"},
  "refused-message": {"group": "links", "says": "dropped a message of {peer}{because}"},
  "answers-lost": {"group": "links", "says": "could not tell {peer} {count} answers in time"},
  "link": {"group": "links", "says": ""},
  "tls-refused": {"group": "links", "says": "refused {count} at the {port} port: {reason}"},
  "tls-renewed": {"group": "life", "says": "shows a new certificate to each {for}"},
  "tls-not-renewed": {"group": "life", "says": "keeps its certificate for each {for}{because}"},
  "access-refused": {"group": "links", "says": "refused {count} for {asked}: {reason}"},
  "tokens-renewed": {"group": "life", "says": "takes {tokens} tokens of a new file"},
  "tokens-not-renewed": {"group": "life", "says": "keeps the tokens that it had{because}"},
  "audit": {"group": "life", "says": "{who}: {what} ({outcome})"},
  "transfer": {"group": "elections", "says": ""},
  "fault": {"group": "faults", "says": ""},
  "stalled": {"group": "life", "says": ""},
  "log-full": {"group": "log", "says": "the log is full at {bytes} bytes"},
};

/** Faults of a node by the command that begins one (node/runtime/commands.py). */
export const FAULTS = {
  "simulate_failure": {"kind": "failure", "noun": "simulated failure", "note": "failure simulated", "stops": true},
  "cut_link": {"kind": "cut", "noun": "cut link{s}", "note": "cut on purpose", "stops": true},
  "delay_link": {"kind": "delay", "noun": "delay of {value} ms", "note": "{value} ms", "stops": false},
  "drop_link": {"kind": "drop", "noun": "loss of {value} %", "note": "{value} % lost", "stops": false},
  "corrupt_link": {"kind": "corrupt", "noun": "damage to {value} % of the frames", "note": "{value} % damaged", "stops": false},
};

/** Roles (node/observe/roles.py): what people call them, and what they mean. */
export const ROLES = {
  "leader": {"name": "leader", "means": "leads its term"},
  "follower": {"name": "follower", "means": "follows a leader, or waits to hear one"},
  "learner": {"name": "learner", "means": "gets the log, has no vote and counts nowhere"},
  "pre-candidate": {"name": "pre-candidate", "means": "asks whether it could win, in no new term yet"},
  "candidate": {"name": "candidate", "means": "stands for election in a term of its own"},
  "initial": {"name": "waiting", "means": "has no vote and waits, for birth or because its disk was lost"},
};

/** Messages in flight (node/observe/messages.py). */
export const LOOKS = {
  "pre-vote": {"style": "vote", "letter": "P", "rare": true},
  "pre-vote-reply": {"style": "vote reply", "rare": true},
  "vote": {"style": "vote", "letter": "V", "rare": true},
  "vote-reply": {"style": "vote reply", "rare": true},
  "append": {"style": "append", "letter": "+"},
  "append-reply": {"style": "append reply"},
  "heartbeat": {"style": "heartbeat"},
  "heartbeat-reply": {"style": "heartbeat reply"},
  "read-index": {"style": "read"},
  "read-index-reply": {"style": "read reply"},
  "timeout-now": {"style": "vote", "letter": "T", "rare": true},
  "birth": {"rare": true},
  "report": {"hidden": true},
  "command": {"style": "vote", "letter": "C", "rare": true},
  "command-reply": {"style": "vote reply", "letter": "C", "rare": true},
  "snapshot-piece": {"style": "append", "letter": "S"},
  "snapshot-piece-reply": {"style": "append reply"},
};

/** What held a node's loop (node/observe/turns.py). */
export const DOING = {
  "driver": "a step of the algorithm",
  "apply": "applying entries",
  "wal": "writing its log",
  "links": "taking messages of its peers",
  "report": "telling its peers its status",
  "express": "answering clients",
  "http": "answering clients",
};
