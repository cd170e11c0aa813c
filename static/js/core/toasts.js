/** Short notices. What went well goes by itself; an error stays until it is put away, with its code and request id. */
import { signal } from "../lib.js";
import { Problem } from "./api.js";

/** @typedef {{id: number, tone: "good" | "bad", text: string, detail?: string, action?: {label: string, run: () => void}}} Toast */

export const toasts = signal(/** @type {Toast[]} */ ([]));
const STAY_MS = 5_000;
const UNDO_MS = 6_000;
const MOST = 4;
let last = 0;

/** @param {Omit<Toast, "id">} toast @param {number | null} stayMs null: until it is put away */
function show(toast, stayMs) {
  const id = ++last;
  const all = [...toasts.value, { ...toast, id }];
  // Good news goes first; what offers to undo is not pushed out at all.
  const least = all.find(({ tone, action }) => tone === "good" && !action) ?? all.find(({ action }) => !action);
  toasts.value = all.length > MOST ? all.filter((one) => one !== least) : all;
  if (stayMs !== null) setTimeout(() => dismiss(id), stayMs);
  return id;
}

/** @param {number} id */
export function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** @param {string} text */
export const tell = (text) => void show({ tone: "good", text }, STAY_MS);

/** What went wrong, in the relay's own words. @param {unknown} error @param {string} what "Could not …" */
export function tellProblem(error, what) {
  if (!(error instanceof Problem)) throw error;
  const fields = error.errors.map(({ field, message }) => `${field}: ${message}`).join("; ");
  const named = error.requestId ? `${error.code} · request ${error.requestId}` : error.code;
  show({ tone: "bad", text: `${what}: ${fields || error.detail}`, detail: named }, null);
}

/** @type {Map<number, {run: (closing: boolean) => void}>} */
const held = new Map();

/**
 * Do something that cannot be taken back a little later, so that it can: the toast offers to.
 * @param {string} text @param {{run: (closing: boolean) => void, undo: () => void}} what `closing`: the page is going away
 */
export function later(text, { run, undo }) {
  const timer = setTimeout(() => finish(false), UNDO_MS);
  const finish = (/** @type {boolean} */ closing) => {
    clearTimeout(timer);
    if (held.delete(id)) run(closing);
    dismiss(id);
  };
  const id = show(
    {
      tone: "good",
      text,
      action: {
        label: "Undo",
        run: () => {
          clearTimeout(timer);
          held.delete(id);
          dismiss(id);
          undo();
        },
      },
    },
    null,
  );
  held.set(id, { run: finish });
}

// Whoever closes the page has not asked for undo.
addEventListener("pagehide", () => {
  for (const { run } of [...held.values()]) run(true);
});

/**
 * Run an action of a person: a button's promise, its success said, its failure shown.
 * @param {string} what for the failure: "Could not …"
 * @param {() => Promise<unknown>} work
 * @param {string} [done] for the success
 * @returns {Promise<boolean>} whether it went well
 */
export async function attempt(what, work, done) {
  try {
    await work();
    if (done !== undefined) tell(done);
    return true;
  } catch (error) {
    tellProblem(error, what);
    return false;
  }
}
