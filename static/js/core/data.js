/**
 * What the page knows: a snapshot, kept true by events. Each thing has a signal of its own, so that one event redraws one
 * row; lists follow `version`. What the relay works out (counts, charts, conversations) is not worked out here again:
 * {@link useResource} asks for it, and asks anew when an event says that it may have changed.
 */
import { signal, computed, batch, useEffect, useMemo } from "../lib.js";
import { get, query, Problem } from "./api.js";
import { relayNow } from "./format.js";
import { listen } from "./live.js";

/** @typedef {import("./types.js").Agent} Agent */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Task} Task */
/** @typedef {import("./live.js").LiveEvent} LiveEvent */

/** Things by id. @template T */
export class Collection {
  /** @param {(thing: T) => string | number} keyOf */
  constructor(keyOf) {
    this.keyOf = keyOf;
    /** @type {Map<string | number, import("../../vendor/signals.js").Signal<T>>} */
    this.things = new Map();
    this.version = signal(0);
  }

  /** @param {string | number} id @returns {T | undefined} as it is now; whoever draws with it is redrawn */
  get(id) {
    const found = this.things.get(id);
    if (found === undefined) void this.version.value;
    return found?.value;
  }

  /** All of them, in the order of their coming; follows every change. @returns {T[]} */
  all() {
    void this.version.value;
    return Array.from(this.things.values(), (thing) => thing.peek());
  }

  get size() {
    void this.version.value;
    return this.things.size;
  }

  /** @param {T} thing */
  put(thing) {
    const id = this.keyOf(thing);
    const found = this.things.get(id);
    if (found === undefined) this.things.set(id, signal(thing));
    else found.value = thing;
    this.version.value = this.version.peek() + 1;
  }

  /** @param {string | number} id */
  remove(id) {
    if (this.things.delete(id)) this.version.value = this.version.peek() + 1;
  }

  /** Take a whole new set; what stays keeps its signal. @param {T[]} things */
  replace(things) {
    const ids = new Set(things.map((thing) => this.keyOf(thing)));
    batch(() => {
      for (const id of [...this.things.keys()]) if (!ids.has(id)) this.things.delete(id);
      for (const thing of things) this.put(thing);
      this.version.value = this.version.peek() + 1;
    });
  }
}

/** @type {Collection<Agent>} */
export const agents = new Collection((agent) => agent.id);
/** Every active task, and the closed ones that the page has met. @type {Collection<Task>} */
export const tasks = new Collection((task) => task.id);

export const ACTIVE = ["open", "claimed", "in_progress", "blocked"];
export const CLOSED = ["done", "failed", "cancelled"];
const KEPT_CLOSED = 300;
const PAGE = 500;
/** Agents come in smaller pages: a card has a count of unread mail, which takes its time where nobody reads. */
const AGENTS_PAGE = 100;
const AGAIN_MS = 5_000;
/** What the feed keeps of a body. */
const FEED_CHARS = 400;
export const FEED_LENGTH = 500;
const FEED_AT_START = 150;

/** @typedef {LiveEvent & {at: string}} FeedLine `at` is empty where nothing up to it tells a time */
/** Newest first. @type {import("../../vendor/signals.js").Signal<FeedLine[]>} */
export const feed = signal([]);
/** How the start goes: the relay has answered, and the page follows what happens; or why not. */
export const ready = signal(false);
export const startProblem = signal(/** @type {Problem | null} */ (null));
/** All agents and tasks are there: until then nobody can say that there are none. */
export const complete = signal(false);
/** @type {import("../../vendor/signals.js").Signal<import("./types.js").Stats | null>} */
export const stats = signal(null);

export const online = computed(
  () => agents.all().filter((agent) => agent.status !== "offline" && agent.status !== "stale").length,
);

/** Take a first look and listen from there on; agents and tasks follow as soon as they come. */
export async function start() {
  const first = await look();
  ready.value = true;
  const since = Math.max(first.eventFloor, first.eventSeq - FEED_AT_START);
  listen(since, { events: take, reset: () => retried(async () => (await look(), await fill())), resumed: refreshAll });
  await retried(fill);
  batch(() => {
    complete.value = true;
    for (const event of early) apply(event);
  });
  early = [];
}

/** Events up to here are in the snapshot: of them only the feed takes notice. */
let known = 0;
/** What has happened while agents and tasks were on their way. @type {LiveEvent[]} */
let early = [];

/** How it stands, and with which event: read before everything else, so that nothing later is missed. */
async function look() {
  /** @type {import("./types.js").Stats} */
  const first = await get("/stats");
  known = first.eventSeq;
  if ((feed.peek()[0]?.id ?? 0) > known) feed.value = []; // another database, whose events have these numbers again
  stats.value = first;
  return first;
}

async function fill() {
  const [cards, active, closed] = await Promise.all([
    pages("/agents", "agents", "after", AGENTS_PAGE),
    pages(`/tasks?status=${ACTIVE.join(",")}`, "tasks", "before"),
    get(`/tasks?status=${CLOSED.join(",")}&limit=100`),
  ]);
  batch(() => {
    agents.replace(cards);
    tasks.replace([...active, ...closed.tasks]);
  });
}

/** Every page of a list, up to 5,000 things. @param {string} path @param {string} key @param {string} cursor @param {number} [size] */
async function pages(path, key, cursor, size = PAGE) {
  const joint = path.includes("?") ? "&" : "?";
  const found = [];
  let next;
  do {
    const more = next === undefined ? "" : `&${cursor}=${encodeURIComponent(next)}`;
    const answer = await get(`${path}${joint}limit=${size}${more}`);
    found.push(...answer[key]);
    next = answer.next;
  } while (next !== undefined && found.length < 5_000);
  return found;
}

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
async function retried(work) {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10_000)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/** Take a task from an answer, unless an event has brought a newer state of it meanwhile. @param {Task} task */
export function putTask(task) {
  const held = tasks.things.get(task.id)?.peek();
  if (held === undefined || held.updatedAt <= task.updatedAt) tasks.put(task);
}

/** Ask again for the agents' cards: unread counts and signs of life change without an event. */
export async function refreshAgents() {
  /** @type {LiveEvent[]} */
  const meanwhile = [];
  const quiet = onEvents((events) => void meanwhile.push(...events));
  try {
    const found = await pages("/agents", "agents", "after", AGENTS_PAGE);
    batch(() => {
      agents.replace(found);
      for (const event of meanwhile) if (event.event.startsWith("agent.")) apply(event); // the cards may be older than these
    });
  } finally {
    quiet();
  }
}

/** @param {LiveEvent[]} events */
function take(events) {
  /** @type {FeedLine[]} */
  const lines = [];
  for (const event of events) {
    lines.push({ ...event, data: brief(event.data), at: momentOf(event) });
    if (event.id <= known) continue;
    if (complete.peek()) apply(event);
    else early.push(event);
  }
  lines.reverse();
  feed.value = [...lines, ...feed.peek()].slice(0, FEED_LENGTH);
  for (const listener of listeners) listener(events.filter((event) => event.id > known));
}
/** @param {LiveEvent} event */
function apply({ event, data }) {
  if (event === "agent.registered" || event === "agent.status") agents.put(data);
  else if (event === "agent.removed") agents.remove(data.id);
  else if (event.startsWith("task.")) {
    tasks.put(data);
    if (CLOSED.includes(data.status)) forgetOldTasks();
  }
}

function forgetOldTasks() {
  const closed = [];
  for (const task of tasks.things.values()) if (task.peek().closedAt !== null) closed.push(task.peek());
  if (closed.length <= KEPT_CLOSED) return;
  closed.sort((a, b) => (a.updatedAt < b.updatedAt ? -1 : 1));
  for (const task of closed.slice(0, closed.length - KEPT_CLOSED)) tasks.remove(task.id);
}

/**
 * What an event carries, without the bulk of its text. Taken apart and put together again: a slice of a text keeps all of it.
 * @param {any} data
 */
function brief(data) {
  if (typeof data.body !== "string" || data.body.length <= FEED_CHARS) return data;
  return { ...data, body: JSON.parse(JSON.stringify(data.body.slice(0, FEED_CHARS))) };
}

/** @type {string} */
let latest = "";

/**
 * When an event happened, as far as what it carries tells. Events come in the order of their happening: one that carries
 * an older time (work that is announced anew), or none, happened no sooner than the one before.
 * @param {LiveEvent} event
 */
function momentOf({ event, id, data }) {
  const told = toldMoment(event, data) ?? (id > known ? new Date(relayNow()).toISOString() : "");
  if (told > latest) latest = told;
  return latest;
}

/** @param {string} event @param {any} data @returns {string | undefined} */
function toldMoment(event, data) {
  if (event === "message.new") return data.createdAt;
  if (event === "message.claimed") return data.claimedAt;
  if (event === "message.read") return data.at;
  if (event.startsWith("task.")) return data.updatedAt;
  if (event === "callback.attempt") return data.attempts?.at(-1)?.at;
  if (event === "agent.registered") return data.registeredAt;
  return undefined;
}

/** @type {Set<(events: LiveEvent[]) => void>} */
const listeners = new Set();

/** Hear of what happens. @param {(events: LiveEvent[]) => void} listener @returns {() => void} to be called to stop */
export function onEvents(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// ---- what the relay works out

/** @template T @typedef {{data: T | null, error: Problem | null, loading: boolean, reload: () => void, set: (data: T) => void}} Resource */

/** @type {Set<() => void>} */
const resources = new Set();
function refreshAll() {
  for (const reload of resources) reload();
}

/**
 * What a path answers, kept fresh while a component shows it: it is asked for again when an event matches, at most once in
 * `everyMs`, and after the line came back. What is there stays until the new is there.
 * @template [T=any]
 * @param {string | null} path null: nothing yet
 * @param {{on?: RegExp, when?: (event: LiveEvent) => boolean, everyMs?: number, pollMs?: number}} [options]
 * @returns {Resource<T>}
 */
export function useResource(path, { on, when, everyMs = 1_000, pollMs } = {}) {
  const state = useMemo(
    () =>
      signal({
        data: /** @type {T | null} */ (null),
        error: /** @type {Problem | null} */ (null),
        loading: path !== null,
      }),
    [path],
  );
  const tools = useMemo(() => {
    /** @type {AbortController | null} */
    let running = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let later;
    let last = 0;
    let again = false;
    const load = async () => {
      if (path === null) return;
      if (running !== null) {
        again = true;
        return;
      }
      clearTimeout(later);
      later = undefined;
      last = performance.now();
      const mine = (running = new AbortController());
      state.value = { ...state.peek(), loading: true };
      try {
        const data = await get(path, { signal: mine.signal });
        if (!mine.signal.aborted) state.value = { data, error: null, loading: false };
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        state.value = { data: state.peek().data, error, loading: false };
        // What is not the question's fault is asked again by itself: the line may live all the while.
        if (error.status === 0 || error.status >= 500) later ??= setTimeout(load, AGAIN_MS);
      } finally {
        running = null;
      }
      if (again) {
        again = false;
        soon();
      }
    };
    const soon = () => {
      if (later !== undefined) return;
      const pause = Math.max(0, last + (document.hidden ? 10_000 : everyMs) - performance.now());
      later = setTimeout(load, pause);
    };
    const stop = () => {
      clearTimeout(later);
      later = undefined;
      running?.abort();
      running = null;
    };
    return { load, soon, stop };
  }, [path]);
  useEffect(() => {
    if (path === null) return;
    tools.load();
    resources.add(tools.load);
    const quiet = onEvents((events) => {
      if (events.some((event) => (on?.test(event.event) ?? false) && (when?.(event) ?? true))) tools.soon();
    });
    const poll = pollMs === undefined ? undefined : setInterval(() => document.hidden || tools.soon(), pollMs);
    return () => {
      clearInterval(poll);
      quiet();
      resources.delete(tools.load);
      tools.stop();
    };
  }, [path]);
  const set = (/** @type {T} */ data) => (state.value = { data, error: null, loading: false });
  return { ...state.value, reload: tools.load, set };
}

export { query };
