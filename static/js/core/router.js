/**
 * Where the page is: `/tasks/8?status=open`. The address is the only place that knows it, so that reload, back, and a link
 * that is handed on all lead to the same view.
 */
import { signal, batch } from "../lib.js";

/** @typedef {{screen: string, id: string, query: Record<string, string>}} Route */

/** @returns {Route} */
function read() {
  const [screen = "", ...rest] = location.pathname.split("/").filter(Boolean);
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // A broken escape names nothing that exists; shown as it is.
  }
  return { screen: screen || "now", id, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

export const route = signal(read());

/** An address of the page. @param {string} screen @param {string | number} [id] @param {Record<string, string | undefined>} [query] */
export function address(screen, id = "", query = {}) {
  const given = Object.entries(query).filter((entry) => entry[1] !== undefined && entry[1] !== "");
  const search = new URLSearchParams(/** @type {[string, string][]} */ (given)).toString();
  const path = screen === "now" ? "/" : `/${screen}${id === "" ? "" : `/${encodeURIComponent(id)}`}`;
  return path + (search === "" ? "" : `?${search}`);
}

/** Go to an address of the page. @param {string} to @param {{replace?: boolean}} [options] */
export function go(to, { replace = false } = {}) {
  if (to === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  batch(() => (route.value = read()));
}

/** Another item of this screen, or none, with the filters as they are. @param {string | number} id */
export function open(id) {
  go(address(route.value.screen, id, route.value.query));
}

/**
 * The filters of a screen, each with what it takes: a list of words, a pattern, or a test. What an address has beyond them, or
 * beside them, counts as not given.
 * @template {Record<string, readonly string[] | RegExp | ((value: string) => boolean)>} F
 * @param {F} fields
 */
export function filters(fields) {
  const valid = (/** @type {string} */ name, /** @type {string | undefined} */ value) => {
    const rule = Object.hasOwn(fields, name) ? fields[name] : undefined; // an address may have ?constructor=
    if (rule === undefined || value === undefined || value === "") return false;
    if (typeof rule === "function") return rule(value);
    return rule instanceof RegExp ? rule.test(value) : value.split(",").every((word) => rule.includes(word));
  };
  return {
    /** @returns {{[K in keyof F]?: string}} follows the address */
    read() {
      const entries = Object.entries(route.value.query).filter(([name, value]) => valid(name, value));
      return /** @type {{[K in keyof F]?: string}} */ (Object.fromEntries(entries));
    },
    /** Change some; typing replaces the entry in the history, a choice makes one. @param {{[K in keyof F]?: string}} change @param {{replace?: boolean}} [options] */
    set(change, options) {
      const kept = Object.fromEntries(Object.entries(route.value.query).filter(([name, value]) => valid(name, value)));
      go(address(route.value.screen, route.value.id, { ...kept, .../** @type {any} */ (change) }), options);
    },
    clear() {
      go(address(route.value.screen, route.value.id));
    },
  };
}

addEventListener("popstate", () => (route.value = read()));

// Links of the page lead within it, as long as nothing else was asked for (a new tab, say).
addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (link === null || link.hasAttribute("target") || link.hasAttribute("download")) return;
  const to = new URL(link.getAttribute("href") ?? "", location.href); // a link within an SVG has no parts to read
  if (to.origin !== location.origin || /^\/(api|explorer|static)(\/|$)/.test(to.pathname) || to.hash !== "") return;
  event.preventDefault();
  go(to.pathname + to.search);
});
