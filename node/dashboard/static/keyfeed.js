/**
 * Keeps the list of keys true: reads it once, then takes changes as the watch tells them, a batch for each frame.
 *
 * Why it exists: changes may come faster than anybody reads, from a node that may go away. What waits for a frame is
 * bounded; what is beyond that is dropped, and the list is read anew, once a second at most. Clock, timers, frames and
 * the server are handed in, so that it can be tested without a browser. It must not draw.
 */
import { initialKeys, KEYS_SHOWN, reduceKeys } from "./keys.js";

/** Changes that wait for a frame: parsing them takes some 10 ms. */
export const WAITING_MAX = 2000;
export const WAITING_LETTERS_MAX = 4 * 1024 * 1024;
export const LIST_MS_MIN = 1000;
const AGAIN_MS = 1000;

export class KeyFeed {
  /** `around`: `now()`, `later(run, ms)`, which returns what ends it, and `frame(run)`; `show(keys)` is called with what is new. */
  constructor(source, around, show) {
    this.source = source;
    this.around = around;
    this.show = show;
    this.keys = initialKeys("");
    this.turn = 0; // of the lists that were asked for, the latest: answers to others are late
    this.listing = false;
    this.listedAt = -Infinity;
    this.end = null;
    this.timer = null;
    this.stop();
  }

  /** List and follow what begins with `prefix`, from now on; a promise of the first list, which fails as it does. */
  follow(prefix) {
    this.stop();
    if (prefix !== this.keys.prefix) this.keys = initialKeys(prefix);
    return this.list();
  }

  /** Nothing is asked for and nothing kept waiting, until `follow`: a page that nobody sees holds no connection. */
  stop() {
    this.turn += 1;
    this.listing = false;
    this.end?.();
    this.end = null;
    this.timer?.();
    this.timer = null;
    this.forget(false);
  }

  /** `gap`: what comes from now on is of no use either, until the list is read anew. */
  forget(gap) {
    this.waiting = [];
    this.letters = 0;
    this.gap = gap;
  }

  dispatch(action) {
    this.keys = reduceKeys(this.keys, { at: this.around.now(), ...action });
    this.show(this.keys);
  }

  async list() {
    this.turn += 1;
    const { turn } = this;
    this.listing = true;
    this.listedAt = this.around.now();
    this.forget(false);
    try {
      const body = await this.source.list(this.keys.prefix, KEYS_SHOWN);
      if (turn !== this.turn) return;
      this.listing = false;
      this.dispatch({ type: "listed", body });
      if (this.gap) this.overflow();
      else this.take();
      if (!this.end) this.watch(body.revision + 1);
    } catch (error) {
      if (turn !== this.turn) return;
      this.listing = false;
      this.lose(error.message);
      throw error;
    }
  }

  /** By itself: who asked for it is told by `show` alone. */
  listSoon(ms) {
    this.timer ??= this.around.later(() => {
      this.timer = null;
      this.list().catch(() => {});
    }, ms);
  }

  lose(message) {
    this.end?.();
    this.end = null;
    this.forget(true);
    this.dispatch({ type: "lost", message });
    this.listSoon(AGAIN_MS);
  }

  watch(revision) {
    this.end = this.source.watch(this.keys.prefix, revision, {
      open: () => {
        if (this.listing && this.waiting.length) this.forget(true); // a part of a revision comes again as a whole
        this.take();
        this.dispatch({ type: "watching" });
      },
      change: (kind, data, id) => this.heard(kind, data, id),
      ended: (message) => this.lose(message), // history or leader are gone
      lost: (again) => again && this.lose("the connection broke"),
    });
  }

  heard(kind, data, id) {
    if (this.gap) return;
    this.waiting.push({ kind, data, id });
    this.letters += data.length;
    if (this.waiting.length > WAITING_MAX || this.letters > WAITING_LETTERS_MAX) this.overflow();
    else if (this.waiting.length === 1) this.around.frame(() => this.take());
  }

  overflow() {
    this.forget(true);
    this.dispatch({ type: "overflow" });
    this.refill();
  }

  /** What waited; while the list is read it waits on, for the list may be of before it. */
  take() {
    if (this.listing || !this.waiting.length) return;
    const changes = this.waiting.map(({ kind, data, id }) => ({ kind, said: JSON.parse(data), id }));
    this.forget(false);
    this.dispatch({ type: "changes", changes });
    this.refill();
  }

  refill() {
    if (this.keys.wants && !this.listing) this.listSoon(Math.max(0, this.listedAt + LIST_MS_MIN - this.around.now()));
  }
}
