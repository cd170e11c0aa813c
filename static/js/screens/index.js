/**
 * The screens by their name in the address. Each is fetched when it is first shown, with its styles; the others follow once
 * the page has nothing else to do, so that a screen opens at once, and also while the relay is away.
 */
import { signal } from "../lib.js";
import { folder } from "../ui/bits.js";

/** @typedef {() => unknown} Screen */

/** How to get each one, and the styles that it has beside those of its name. */
const SCREENS = /** @type {Record<string, {load: () => Promise<Screen>, styles?: string[]}>} */ ({
  now: { load: async () => (await import("./now.js")).Now },
  agents: { load: async () => (await import("./agents.js")).Agents, styles: ["agents-drawer"] },
  threads: { load: async () => (await import("./threads.js")).Threads },
  tasks: { load: async () => (await import("./tasks.js")).Tasks },
  map: { load: async () => (await import("./map.js")).Map, styles: ["map-graph"] },
  timeline: { load: async () => (await import("./timeline.js")).Timeline },
  integrations: { load: async () => (await import("./integrations.js")).Integrations },
  join: { load: async () => (await import("./join.js")).Join },
  system: { load: async () => (await import("./system.js")).System },
});
const REST_MS = 3_000;
const AGAIN_MS = 2_000;

const loaded = signal(/** @type {Record<string, Screen>} */ ({}));
/** @type {Set<string>} */
const loading = new Set();

/** Whether there is such a screen. @param {string} name */
export const isScreen = (name) => Object.hasOwn(SCREENS, name);

/** A screen, once it is there; asking for it fetches it. @param {string} name @returns {Screen | undefined} */
export function screenOf(name) {
  const found = loaded.value[name];
  if (found === undefined) void load(name);
  return found;
}

/** @param {string} name */
async function load(name) {
  const screen = SCREENS[name];
  if (screen === undefined || loading.has(name)) return;
  loading.add(name);
  try {
    const [found] = await Promise.all([screen.load(), ...[name, ...(screen.styles ?? [])].map(style)]);
    loaded.value = { ...loaded.peek(), [name]: found };
  } catch {
    // The relay is away: it is asked again, as for everything else.
    setTimeout(() => (loading.delete(name), void load(name)), AGAIN_MS);
  }
}

/** The styles of a file; the page itself has brought those of the screen that it began with. @param {string} name */
function style(name) {
  const href = `${folder}css/screens/${name}.css`;
  if (document.querySelector(`link[href="${href}"]`) !== null) return Promise.resolve();
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  return new Promise((resolve, reject) => {
    link.onload = () => resolve(undefined);
    link.onerror = () => (link.remove(), reject(new Error(href)));
    document.head.append(link);
  });
}

/** Fetch what is not there yet, one after the other, when nothing else is to be done. */
export function loadTheRest() {
  setTimeout(async () => {
    for (const name of Object.keys(SCREENS)) await load(name);
  }, REST_MS);
}
