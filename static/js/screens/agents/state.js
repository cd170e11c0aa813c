/** What the agents' screen knows beside the cards: who holds what, how each has been, and who is about to be removed. */
import { computed, signal, useEffect } from "../../lib.js";
import { call, get, Problem } from "../../core/api.js";
import { agents, tasks, onEvents, refreshAgents, ACTIVE } from "../../core/data.js";
import { filters } from "../../core/router.js";
import { later, tellProblem } from "../../core/toasts.js";

/** @typedef {import("../../core/types.js").Agent} Agent */
/** @typedef {{from: string, to: string, changes: Map<string, {at: string, status: string}[]>}} Presence */

export const STATUSES = /** @type {const} */ (["online", "busy", "idle", "stale", "offline"]);
const WORD = /^[^\0]{1,128}$/;
export const where = filters({
  status: STATUSES,
  ready: ["true", "false"],
  tag: WORD,
  cap: WORD,
  label: WORD,
  project: WORD,
  q: /^[^\0]{1,200}$/,
  view: ["table"],
  show: ["inbox", "sent"],
});

/** Cards that are to go in a moment: out of sight, and still there if that is undone. */
export const leaving = signal(/** @type {ReadonlySet<string>} */ (new Set()));

/** @param {string} id @param {boolean} goes */
function leave(id, goes) {
  const ids = new Set(leaving.peek());
  if (goes) ids.add(id);
  else ids.delete(id);
  leaving.value = ids;
}

/** Remove an agent in a moment, until when it can be taken back. @param {string} id */
export function removeAgent(id) {
  leave(id, true);
  const show = () => leave(id, false);
  later(`Agent ${id} removed`, {
    run: async (closing) => {
      try {
        await call("DELETE", `/agents/${encodeURIComponent(id)}`, { keepalive: closing });
        agents.remove(id);
      } catch (error) {
        if (!(error instanceof Problem && error.status === 404)) tellProblem(error, `Could not remove ${id}`);
      } finally {
        show();
      }
    },
    undo: show,
  });
}

/**
 * Change an agent's labels. What is sent becomes all of its labels, so it is worked out from the card as it is now, not from
 * the one that is shown.
 * @param {string} id @param {(labels: string[]) => string[]} change
 */
export async function changeLabels(id, change) {
  const path = `/agents/${encodeURIComponent(id)}`;
  const { labels } = await get(path);
  agents.put(await call("PATCH", path, { body: { labels: change(labels) } }));
}

/** @type {Map<string, readonly number[]>} */
let before = new Map();
/** Numbers of the active tasks that each agent holds. A list that stays the same stays the same object, so that one claim redraws one card. */
export const held = computed(() => {
  /** @type {Map<string, readonly number[]>} */
  const found = new Map();
  for (const task of tasks.all()) {
    if (task.claimedBy === null || !ACTIVE.includes(task.status)) continue;
    found.set(
      task.claimedBy,
      [...(found.get(task.claimedBy) ?? []), task.id].sort((a, b) => b - a),
    );
  }
  for (const [id, list] of found) {
    const old = before.get(id);
    if (old?.length === list.length && old.every((number, index) => number === list[index])) found.set(id, old);
  }
  before = found;
  return found;
});
export const NONE = /** @type {readonly number[]} */ ([]);

/** How the agents have been in the last hour. */
export const presence = signal(/** @type {Presence | null} */ (null));

async function loadPresence() {
  /** @type {Presence["changes"]} */
  const changes = new Map();
  let from = "";
  let to = "";
  let next;
  do {
    /** @type {any} */
    const page = await get(`/presence?minutes=60${next === undefined ? "" : `&after=${encodeURIComponent(next)}`}`);
    from ||= page.from;
    to = page.to;
    for (const agent of page.agents) changes.set(agent.id, agent.changes);
    next = page.next;
  } while (next !== undefined && changes.size < 5_000);
  presence.value = { from, to, changes };
}

const CARDS_MS = 10_000;
const AFTER_MESSAGE_MS = 5_000;
const PRESENCE_MS = 30_000;
/** Between two looks lies so many times as long as one takes: of thousands of agents each costs the relay seconds. */
const REST = 9;

/** Ask again, while this is shown and somebody looks, for what changes without an event: unread counts, signs of life, and the last hour. */
export function useFreshAgents() {
  useEffect(() => {
    const cards = repeated(refreshAgents, CARDS_MS, AFTER_MESSAGE_MS);
    const hour = repeated(loadPresence, PRESENCE_MS, AFTER_MESSAGE_MS);
    const quiet = onEvents((events) => {
      if (events.some(({ event }) => event.startsWith("message."))) cards.soon();
      if (events.some(({ event }) => event.startsWith("agent."))) hour.soon();
    });
    return () => {
      quiet();
      cards.stop();
      hour.stop();
    };
  }, []);
}

/**
 * Do something now, then every so often, and sooner where asked; never while the page is hidden, never twice at a time.
 * @param {() => Promise<void>} work @param {number} everyMs @param {number} soonMs
 */
function repeated(work, everyMs, soonMs) {
  let last = -Infinity;
  let rested = 0;
  let due = 0;
  let running = false;
  let stopped = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const plan = (/** @type {number} */ at) => {
    at = Math.max(at, rested);
    if (stopped || (timer !== undefined && at >= due)) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(run, Math.max(0, at - performance.now()));
  };
  const run = async () => {
    timer = undefined;
    if (!document.hidden && !running) {
      running = true;
      last = performance.now();
      try {
        await work();
      } catch (error) {
        // The line says that the relay is away; what is shown stays.
        if (!(error instanceof Problem)) throw error;
      } finally {
        running = false;
        rested = performance.now() + REST * (performance.now() - last);
      }
    }
    plan(performance.now() + everyMs);
  };
  plan(0);
  return {
    soon: () => plan(last + soonMs),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Those who live first, then who is not sure, then who is gone; among them by id, so that no card moves without need. @param {Agent} agent */
const rank = ({ status }) => (status === "offline" ? 2 : status === "stale" ? 1 : 0);

/** @param {Agent[]} cards @param {ReturnType<typeof where.read>} asked */
export function chosen(cards, asked) {
  const statuses = asked.status?.split(",");
  const words = (asked.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return cards
    .filter(
      (agent) =>
        !leaving.value.has(agent.id) &&
        (statuses === undefined || statuses.includes(agent.status)) &&
        (asked.ready === undefined || String(agent.ready) === asked.ready) &&
        (asked.tag === undefined || agent.tags.includes(asked.tag)) &&
        (asked.cap === undefined || agent.capabilities.includes(asked.cap)) &&
        (asked.label === undefined || agent.labels.includes(asked.label)) &&
        (asked.project === undefined || agent.project === asked.project) &&
        words.every((word) => textOf(agent).includes(word)),
    )
    .sort((a, b) => rank(a) - rank(b) || (a.id < b.id ? -1 : 1));
}

/** @param {Agent} agent */
const textOf = (agent) =>
  [agent.id, agent.rig, agent.project, agent.host, agent.version, ...agent.labels, ...agent.tags, ...agent.capabilities]
    .join("\n")
    .toLowerCase();
