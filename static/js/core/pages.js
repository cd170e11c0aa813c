/** A list of the relay's that is read page by page, the newest first: the first page stays fresh, older ones come when asked for. */
import { batch, signal, useEffect, useMemo, useState } from "../lib.js";
import { get } from "./api.js";
import { useResource } from "./data.js";

/** @typedef {import("./api.js").Problem} Problem */

/**
 * @template {{id: number}} T
 * @param {string | null} path without `before`; null: nothing is asked for
 * @param {string} key of the list in the answer
 * @param {import("./data.js").Collection<T>} into where the things go, so that a row can follow its own
 * @param {Parameters<typeof useResource>[1]} [options]
 * @returns {{ids: readonly number[], more: boolean, older: () => Promise<void>, error: Problem | null, loading: boolean, reload: () => void}}
 *   while another path is asked, the ids of the one before stay, with `loading`
 */
export function usePages(path, key, into, options) {
  const first = useResource(path, options);
  const list = useMemo(
    () =>
      signal({
        path: /** @type {string | null} */ (null),
        ids: /** @type {number[]} */ ([]),
        next: /** @type {number | undefined} */ (undefined),
      }),
    [],
  );
  const { data, error } = first;
  useEffect(() => {
    if (path === null) list.value = { path, ids: [], next: undefined };
    if (path === null || data === null) return;
    const ids = data[key].map((/** @type {T} */ thing) => thing.id);
    const before = list.peek();
    const known = new Set(before.ids);
    // What came since may be more than a page: then nothing joins it to what was there.
    const joins =
      before.path === path && data.next !== undefined && ids.some((/** @type {number} */ id) => known.has(id));
    batch(() => {
      for (const thing of data[key]) into.put(thing);
      if (!joins) list.value = { path, ids, next: data.next };
      else list.value = { ...before, ids: [...new Set([...ids, ...before.ids])].sort((a, b) => b - a) };
    });
  }, [path, data]);
  const older = async () => {
    const { next } = list.peek();
    if (path === null || next === undefined) return;
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}before=${next}`);
    const before = list.peek();
    if (before.path !== path || before.next !== next) return;
    batch(() => {
      for (const thing of page[key]) into.put(thing);
      list.value = {
        path,
        ids: [...before.ids, ...page[key].map((/** @type {T} */ thing) => thing.id)],
        next: page.next,
      };
    });
  };
  const { ids, next, path: of } = list.value;
  return {
    ids,
    more: of === path && next !== undefined,
    older,
    error,
    loading: of !== path && error === null,
    reload: first.reload,
  };
}

/** What somebody types, once they pause. @param {string | undefined} text @param {number} [ms] */
export function useSettled(text, ms = 200) {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), ms);
    return () => clearTimeout(timer);
  }, [text, ms]);
  return settled;
}
