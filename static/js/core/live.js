/**
 * The line to the relay: a WebSocket that observes everything, or, where none gets through, the event stream read with
 * fetch. It comes back by itself and resumes after the last event seen, so that a relay that was away costs nothing.
 */
import { signal, batch } from "../lib.js";
import { token, askForToken, authorization } from "./api.js";

/** @typedef {{event: string, id: number, data: any}} LiveEvent */
/** @typedef {{phase: "connecting" | "live" | "waiting", since: number, retryAt: number, by: "websocket" | "stream"}} Line */

const PAUSES_S = [1, 2, 5, 10];
const LONGEST_PAUSE_S = 30;
/** A WebSocket that was refused so often without ever having been open is taken not to get through. */
const TRIES_BEFORE_STREAM = 2;
const SILENCE_MS = 45_000;
const HIDDEN_PAINT_MS = 1_000;
/** What another way has heard of is to come over the line within this time. */
const LATE_MS = 3_000;

/** How the line stands; `since` says since when. */
export const line = signal(
  /** @type {Line} */ ({ phase: "connecting", since: Date.now(), retryAt: 0, by: "websocket" }),
);

/** @type {{events: (events: LiveEvent[]) => void, reset: () => Promise<void>, resumed: () => void}} */
let listener = { events: () => {}, reset: async () => {}, resumed: () => {} };
let cursor = 0;
let attempts = 0;
let wasOpen = false;
let wasEverOpen = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let retry;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let doubt;
let doubted = 0;
/** @type {(() => void) | null} ends what is open */
let hangUp = null;

/**
 * Begin to listen after an event.
 * @param {number} since
 * @param {typeof listener} to
 */
export function listen(since, to) {
  cursor = since;
  listener = to;
  connect();
}

/** Try again at once. */
export function retryNow() {
  if (line.value.phase === "waiting") connect();
}

/**
 * The relay has got as far as this event, another way says: a line that has not brought it soon after is dead, though nobody
 * has said so. A laptop that slept, or a network that went, leaves such lines behind.
 * @param {number} event
 */
export function isAt(event) {
  if (line.value.phase !== "live" || event <= Math.max(cursor, doubted)) return;
  clearTimeout(doubt);
  doubt = setTimeout(() => {
    if (line.value.phase !== "live" || event <= cursor) return;
    doubted = event; // once for each: what has been deleted meanwhile never comes
    connect();
  }, LATE_MS);
}

function connect() {
  clearTimeout(retry);
  hangUp?.();
  set({ phase: "connecting" });
  if (line.value.by === "stream") openStream();
  else openSocket();
}

/** @param {Partial<Line>} change */
function set(change) {
  const before = line.value;
  const since = change.phase === "waiting" && before.phase !== "live" ? before.since : Date.now();
  if (change.phase === "connecting" && before.phase !== "live") line.value = { ...before, ...change };
  else line.value = { ...before, since, ...change };
}

function openSocket() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/api/ws`);
  let greeted = false;
  let over = false;
  const used = token.get();
  const end = (/** @type {() => void} */ then) => {
    if (over) return;
    over = true;
    hangUp = null;
    socket.close();
    then();
  };
  hangUp = () => end(() => {});
  socket.onopen = () => {
    wasOpen = true;
    socket.send(JSON.stringify({ op: "hello", ref: 1, agentId: null, since: cursor, token: used ?? undefined }));
  };
  socket.onmessage = ({ data }) => {
    if (over) return;
    const frame = JSON.parse(data);
    if (frame.ref === 1 && frame.ok) {
      greeted = true;
      opened();
    } else if (frame.ref === 1) {
      if (frame.problem?.status === 401) end(() => refused(used, frame.problem.detail));
      else end(failed);
    } else if (frame.event !== undefined) take(frame);
  };
  socket.onclose = ({ code }) => {
    if (code === 4401 && !greeted) end(() => refused(used, ""));
    else end(failed);
  };
  socket.onerror = () => {}; // onclose follows, and says as much
}

async function openStream() {
  const stop = new AbortController();
  let over = false; // another line is in its place: how this one ends is nobody's business
  hangUp = () => {
    over = true;
    stop.abort();
  };
  const used = token.get();
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream" };
  if (used !== null) headers.Authorization = authorization(used);
  try {
    const answer = await fetch(`/api/events?since=${cursor}`, { headers, signal: stop.signal, cache: "no-store" });
    if (answer.status === 401) return refused(used, "");
    if (!answer.ok || answer.body === null) return failed();
    opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      // A comment comes every 15 s: a line that is silent for long is dead, though nobody has said so.
      const silent = setTimeout(() => stop.abort(), SILENCE_MS);
      const { value, done } = await reader.read();
      clearTimeout(silent);
      if (done) break;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) takeBlock(block);
    }
  } catch {
    // Cut off, silent, or hung up.
  }
  if (!over) failed();
}

/** @param {string} block of the event stream */
function takeBlock(block) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const text of block.split("\n")) {
    const at = text.indexOf(": ");
    if (at > 0) found[text.slice(0, at)] = text.slice(at + 2);
  }
  if (found.event) take({ event: found.event, id: Number(found.id), data: JSON.parse(found.data ?? "null") });
}

/** @param {string | null} used @param {string} why */
async function refused(used, why) {
  hangUp = null;
  if (token.get() === used) await askForToken(used === null ? "" : why || "The token is not the relay’s (any more).");
  connect();
}

function opened() {
  attempts = 0;
  const again = wasEverOpen;
  wasEverOpen = true;
  set({ phase: "live", retryAt: 0 });
  if (again) listener.resumed();
}

function failed() {
  hangUp = null;
  const pause = (PAUSES_S[attempts] ?? LONGEST_PAUSE_S) * 1000 * (0.8 + 0.4 * Math.random());
  attempts += 1;
  if (!wasOpen && attempts >= TRIES_BEFORE_STREAM)
    line.value = { ...line.value, by: attempts % 2 === 0 ? "stream" : "websocket" };
  set({ phase: "waiting", retryAt: Date.now() + pause });
  retry = setTimeout(connect, pause);
}

// ---- from the wire to the screen: once a frame, or once a second where nobody looks

/** @type {LiveEvent[]} */
let queue = [];
let scheduled = false;
let resetting = false;

/** @param {LiveEvent} event */
function take(event) {
  if (event.event === "reset") {
    queue = [];
    cursor = event.id;
    resetting = true;
    listener.reset().finally(() => {
      resetting = false;
      schedule();
    });
    return;
  }
  if (event.id <= cursor) return; // at least once is what the relay promises; once is what is shown
  cursor = event.id;
  queue.push(event);
  schedule();
}

function schedule() {
  if (scheduled || resetting || queue.length === 0) return;
  scheduled = true;
  if (document.hidden) setTimeout(flush, HIDDEN_PAINT_MS);
  else requestAnimationFrame(flush);
}

function flush() {
  scheduled = false;
  if (resetting) return;
  const events = queue;
  queue = [];
  batch(() => listener.events(events));
}

document.addEventListener("visibilitychange", () => {
  // An animation frame that was asked for does not come while the page is hidden.
  if (document.hidden && scheduled) setTimeout(() => scheduled && flush(), HIDDEN_PAINT_MS);
  if (!document.hidden) retryNow();
});
addEventListener("online", retryNow);
