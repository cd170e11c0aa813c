/** Which tasks are shown: what the address asks for, from what the page has and from what the relay still knows. */
import { useMemo } from "../../lib.js";
import { ACTIVE, CLOSED, Collection, query, tasks } from "../../core/data.js";
import { usePages } from "../../core/pages.js";
import { address, filters } from "../../core/router.js";

/** @typedef {import("../../core/types.js").Task} Task */
/** @typedef {import("../../core/types.js").TaskStatus} TaskStatus */

export const STATUSES = /** @type {TaskStatus[]} */ ([...ACTIVE, ...CLOSED]);
/** Of the board; `cancelled` has one only where it is asked for. */
export const COLUMNS = STATUSES.slice(0, 6);
export const SEVERITIES = ["critical", "error", "warning", "info"];

const TEXT = /^[^\0]{1,200}$/;
export const where = filters({
  status: STATUSES,
  source: TEXT,
  severity: /^(info|warning|error|critical)$/,
  target: TEXT,
  claimedBy: TEXT,
  q: TEXT,
  view: /^(board|table)$/,
  sort: /^-?(severity|title|status|source|target|claimedBy|seen|created|updated)$/,
  column: /^(open|claimed|in_progress|blocked|done|failed|cancelled)$/,
});

/** @typedef {ReturnType<typeof where.read>} Filter */

/** Whether anything is left out. @param {Filter} filter */
export const isFiltered = ({ status, source, severity, target, claimedBy, q }) =>
  [status, source, severity, target, claimedBy, q].some((value) => value !== undefined);

/** Everything is shown again, as it is looked at. */
export function clearFilters() {
  const { view, sort } = where.read();
  where.clear();
  where.set({ view, sort }, { replace: true });
}

/** The address of a task, or of none, under the filters as they are. @param {number | ""} id */
export const taskAddress = (id) => address("tasks", id, where.read());

/** Tasks that only the relay's answers brought: older than what the page follows. @type {Collection<Task>} */
const met = new Collection((task) => task.id);

/** A task as it is now; whoever draws with it is redrawn. @param {number} id */
export const taskOf = (id) => tasks.get(id) ?? met.get(id);
/** @param {number} id */
const peek = (id) => (tasks.things.get(id) ?? met.things.get(id))?.peek();

/** @param {Task} task @param {Filter} filter */
const matches = (task, { source, severity, target, claimedBy }) =>
  (source === undefined || task.source === source) &&
  (severity === undefined || task.severity === severity) &&
  (target === undefined || task.target === target) &&
  (claimedBy === undefined || task.claimedBy === claimedBy);

const PAGE = 100;

/**
 * Pages of the relay's tasks of some statuses under a filter.
 * @param {readonly string[]} statuses none: nothing is asked for
 * @param {Filter} filter @param {string | undefined} q once it was typed
 */
function useAsked(statuses, { source, severity, target, claimedBy }, q) {
  const path =
    statuses.length === 0
      ? null
      : `/tasks${query({ status: statuses.join(","), source, severity, target, claimedBy, q, limit: PAGE })}`;
  // What happens is known by itself, but whether it holds the words that are looked for only the relay can tell.
  return usePages(path, "tasks", met, q === undefined ? {} : { on: /^task\.(created|updated)/, everyMs: 2_000 });
}

/**
 * The tasks of some statuses. The active ones are all here, unless words are looked for; the closed are asked for.
 * @param {readonly TaskStatus[]} statuses @param {Filter} filter @param {string | undefined} q
 * @param {boolean} apart whether each closed status has pages of its own, as a board's columns do
 */
export function useTasks(statuses, filter, q, apart) {
  const active = statuses.filter((status) => ACTIVE.includes(status));
  const closed = statuses.filter((status) => CLOSED.includes(status));
  const groups = [
    useAsked(q === undefined ? [] : active, filter, q),
    useAsked(apart ? closed.filter((status) => status === "done") : closed, filter, q),
    useAsked(apart ? closed.filter((status) => status === "failed") : [], filter, q),
    useAsked(apart ? closed.filter((status) => status === "cancelled") : [], filter, q),
  ];
  void tasks.version.value;
  void met.version.value;
  /** @type {Map<number, Task>} */
  const found = new Map();
  const wanted = new Set(statuses);
  const take = (/** @type {Task | undefined} */ task) => {
    if (task !== undefined && wanted.has(task.status) && matches(task, filter)) found.set(task.id, task);
  };
  if (q === undefined) for (const task of tasks.things.values()) take(task.peek());
  for (const { ids } of groups) for (const id of ids) take(peek(id));
  return {
    tasks: [...found.values()],
    /** @param {TaskStatus} status whether the relay has more of it */
    more: (status) => Boolean(groups[ACTIVE.includes(status) ? 0 : apart ? 1 + CLOSED.indexOf(status) : 1]?.more),
    older: async () => void (await Promise.all(groups.filter((group) => group.more).map((group) => group.older()))),
    error: groups.find((group) => group.error !== null)?.error ?? null,
    loading: groups.some((group) => group.loading),
    reload: () => groups.forEach((group) => group.reload()),
  };
}

const rank = (/** @type {Task} */ task) => SEVERITIES.indexOf(task.severity);

/** The worst first, then who waits longest. @param {Task} a @param {Task} b */
export const worstFirst = (a, b) => rank(a) - rank(b) || a.id - b.id;
/** @param {Task} a @param {Task} b */
export const lastClosedFirst = (a, b) => compare(b.closedAt ?? "", a.closedAt ?? "") || b.id - a.id;

/** @param {string | number} a @param {string | number} b */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** What a column of the table is sorted by. @type {Record<string, (task: Task) => string | number>} */
const KEYS = {
  severity: (task) => -rank(task),
  title: (task) => task.title.toLowerCase(),
  status: (task) => STATUSES.indexOf(task.status),
  source: (task) => task.source,
  target: (task) => task.target,
  claimedBy: (task) => task.claimedBy ?? "",
  seen: (task) => task.occurrenceCount,
  created: (task) => task.createdAt,
  updated: (task) => task.updatedAt,
};

/** @param {Task[]} found @param {string} sort a column, with `-` before it from the highest down */
export function sorted(found, sort) {
  const down = sort.startsWith("-") ? -1 : 1;
  const key = /** @type {(task: Task) => string | number} */ (KEYS[sort.replace("-", "")]);
  return [...found].sort((a, b) => down * compare(key(a), key(b)) || b.id - a.id);
}

/** What there is to choose from, of the tasks that the page has, with what is chosen. @param {"source" | "target" | "claimedBy"} field @param {string | undefined} chosen */
export function useOptions(field, chosen) {
  const version = tasks.version.value;
  return useMemo(() => {
    const found = new Set(chosen === undefined ? [] : [chosen]);
    for (const task of tasks.things.values()) {
      const value = task.peek()[field];
      if (value !== null) found.add(value);
    }
    return [...found].sort();
  }, [version, field, chosen]);
}
