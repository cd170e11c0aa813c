/**
 * Calls to the relay. A 401 opens the token dialog over the page and the call is made again with what was entered; every
 * other failure is thrown as a {@link Problem}, which says what the relay said.
 */
import { signal } from "../lib.js";
import { relaySaid } from "./format.js";

const TOKEN_KEY = "agent-relay-token";
const TIMEOUT_MS = 30_000;
/** An answer that took longer does not tell what time it is. */
const PROMPT_MS = 1_000;

/** Why the token is asked for, while it is; the dialog shows itself by it. */
export const tokenWanted = signal(/** @type {string | null} */ (null));

/** An answer of the relay that is none, or none of what was asked. */
export class Problem extends Error {
  /** @param {{status: number, code: string, title: string, detail: string, requestId?: string, errors?: {field: string, message: string}[], claimedBy?: string}} said */
  constructor(said) {
    super(said.detail || said.title);
    this.status = said.status;
    this.code = said.code;
    this.title = said.title;
    this.detail = said.detail;
    this.requestId = said.requestId ?? "";
    this.errors = said.errors ?? [];
    this.claimedBy = said.claimedBy;
  }
}

/** The token of this origin, kept in localStorage and nowhere else. */
export const token = {
  get() {
    try {
      return localStorage.getItem(TOKEN_KEY) ?? kept;
    } catch {
      return kept;
    }
  },
  /** @param {string | null} value */
  set(value) {
    kept = value;
    try {
      if (value === null) localStorage.removeItem(TOKEN_KEY);
      else localStorage.setItem(TOKEN_KEY, value);
    } catch {
      // Storage may be switched off: then it lasts as long as the page.
    }
  },
};
/** @type {string | null} */
let kept = null;

/**
 * A token as a header can carry it. Fetch throws at other letters, as if no relay answered; without them it is no relay's
 * token either, and the relay says so.
 * @param {string} bearer
 */
export const authorization = (bearer) => `Bearer ${bearer.replace(/[^\x20-\x7e]/g, "?")}`;

/** @type {Promise<void> | null} */
let asking = null;
/** @type {(() => void) | null} */
let entered = null;

/**
 * Ask the person for the token; whoever else asks meanwhile waits for the same answer.
 * @param {string} why
 */
export function askForToken(why) {
  if (asking === null) {
    tokenWanted.value = why;
    asking = new Promise((resolve) => (entered = resolve));
  }
  return asking;
}

/** @param {string} value what the person typed */
export function tokenEntered(value) {
  token.set(value);
  tokenWanted.value = null;
  asking = null;
  entered?.();
}

// Whoever has entered it in one tab is not asked in the others.
addEventListener("storage", ({ key, newValue }) => {
  if (key === TOKEN_KEY && newValue !== null && asking !== null) tokenEntered(newValue);
});

/**
 * One call; the answer's JSON, or null where there is none.
 * @param {string} method
 * @param {string} path below /api
 * @param {{body?: unknown, signal?: AbortSignal, keepalive?: boolean}} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, options = {}) {
  const answer = await send(method, path, options);
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const other = error instanceof SyntaxError;
    throw new Problem({
      status: 0,
      code: other ? "bad-answer" : "unreachable",
      title: other ? "This is no answer of a relay" : "The answer broke off",
      detail: other
        ? "What answers here does not speak as an Agent Relay does: a proxy may stand between."
        : "The relay’s answer broke off: it may have been stopped.",
    });
  }
}

/** @param {string} path @param {{signal?: AbortSignal}} [options] */
export const get = (path, options) => call("GET", path, options);
/** @param {string} path @param {unknown} [body] */
export const post = (path, body) => call("POST", path, { body });

/**
 * A good answer, whatever it is made of.
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, signal?: AbortSignal, keepalive?: boolean, timeoutMs?: number}} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, options = {}) {
  for (;;) {
    const used = token.get();
    const answer = await attempt(method, path, used, options);
    if (answer.ok) return answer;
    const said = await problemOf(answer);
    if (answer.status !== 401) throw said;
    // Another tab, or another call of this page, may have got a newer one meanwhile.
    if (token.get() === used) await askForToken(used === null ? "" : said.detail);
  }
}

/**
 * @param {string} method @param {string} path @param {string | null} bearer
 * @param {{body?: unknown, signal?: AbortSignal, keepalive?: boolean, timeoutMs?: number}} options
 */
async function attempt(method, path, bearer, { body, signal: given, keepalive = false, timeoutMs = TIMEOUT_MS }) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (bearer !== null) headers.Authorization = authorization(bearer);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const limit = AbortSignal.timeout(timeoutMs);
  const asked = performance.now();
  try {
    const answer = await fetch(`/api${path}`, {
      method,
      headers,
      keepalive,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: given ? AbortSignal.any([given, limit]) : limit,
      cache: "no-store",
    });
    if (performance.now() - asked < PROMPT_MS) relaySaid(answer.headers.get("Date"));
    return answer;
  } catch (error) {
    if (given?.aborted) throw error;
    const late = limit.aborted;
    throw new Problem({
      status: 0,
      code: late ? "timeout" : "unreachable",
      title: late ? "No answer in time" : "The relay cannot be reached",
      detail: late
        ? `The relay did not answer within ${timeoutMs / 1000} s.`
        : "The relay does not answer: it may have been stopped.",
    });
  }
}

/** @param {Response} answer */
async function problemOf(answer) {
  try {
    return new Problem(await answer.json());
  } catch {
    const title = answer.statusText || `HTTP ${answer.status}`;
    return new Problem({ status: answer.status, code: `http-${answer.status}`, title, detail: title });
  }
}

/**
 * Change the one-time code of the address's fragment for a session token. The fragment goes first, out of the address and
 * of the history alike: a code that is seen there later is of no use, but would look like a secret that lies about.
 */
export async function redeemCode() {
  const match = /^#code=([\w.~-]+)$/.exec(location.hash);
  if (match === null) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  const answer = await attempt("POST", "/session/redeem", null, { body: { code: match[1] } });
  if (!answer.ok) throw await problemOf(answer);
  token.set((await answer.json()).token);
}

/** A query string of what is set. @param {Record<string, string | number | boolean | null | undefined>} values */
export function query(values) {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) found.set(key, String(value));
  }
  const text = found.toString();
  return text === "" ? "" : `?${text}`;
}
