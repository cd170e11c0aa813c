/** Small parts that every screen is made of. */
import { html, useState, useRef, useEffect } from "../lib.js";
import { now, relative, fullTime, clockOf } from "../core/format.js";
import { tell, attempt } from "../core/toasts.js";
import { address } from "../core/router.js";
import { blocksOf, firstLine, spansOf, readable } from "../core/text.js";

/** @typedef {import("preact").ComponentChildren} Children */

/** Where the page's files are, under the hash of all of them. */
export const folder = document.querySelector('meta[name="relay-folder"]')?.getAttribute("content") ?? "/static/";

/** An icon of the sprite; it says nothing by itself. @param {{name: string}} props */
export const Icon = ({ name }) =>
  html`<svg class="icon" aria-hidden="true" focusable="false"><use href=${`${folder}vendor/icons.svg#${name}`} /></svg>`;

/** A time as seen from now, and in full to whoever points at it. @param {{at: string | null | undefined, none?: string, clock?: boolean}} props */
export function Time({ at, none = "never", clock = false }) {
  if (!at) return html`<span class="quiet">${none}</span>`;
  return html`<time datetime=${at} title=${fullTime(at)}>${clock ? clockOf(at) : relative(at, now.value)}</time>`;
}

/** Words as the contract has them; `in_progress` is the only one that people do not write so. @param {string} status */
export const wordOf = (status) => status.replace("_", " ");

/** A state by shape, colour and word. @param {{status: string, quiet?: boolean}} props */
export const Status = ({ status, quiet = false }) =>
  html`<span class=${`status is-${status}`}><span class="dot" aria-hidden="true"></span><span class=${quiet ? "unseen" : ""}>${wordOf(status)}</span></span>`;

/** How bad it is, by shape, colour and word. @param {{severity: string}} props */
export const Severity = ({ severity }) =>
  html`<span class=${`severity is-${severity}`}><span class="bars" aria-hidden="true"></span>${severity}</span>`;

/** Something short that is counted or named. @param {{children?: Children, tone?: string, title?: string}} props */
export const Chip = ({ children, tone = "", title }) =>
  html`<span class=${`chip ${tone}`} title=${title}>${children}</span>`;

/** An agent, `human`, `system` or another target, in full. @param {{id: string, link?: boolean}} props */
export function Who({ id, link = true }) {
  const text = readable(id);
  const plain = id === "human" || id === "system" || id === "broadcast" || id.includes(":");
  if (plain || !link) return html`<span class=${`who${plain ? " is-word" : ""}`}>${text}</span>`;
  return html`<a class="who" href=${address("agents", id)}>${text}</a>`;
}

/**
 * A button that does something which takes a moment: busy until it is done, and a failure is said.
 * @param {{run: () => Promise<unknown> | void, what?: string, done?: string, icon?: string, children?: Children, kind?: string, label?: string, disabled?: boolean, title?: string, keys?: string}} props
 */
export function Button({
  run,
  what = "Could not do it",
  done,
  icon,
  children,
  kind = "",
  label,
  disabled = false,
  title,
  keys,
}) {
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  const click = async (/** @type {Event} */ event) => {
    event.stopPropagation();
    const result = run();
    if (!(result instanceof Promise)) return;
    setBusy(true);
    await attempt(what, () => result, done);
    if (alive.current) setBusy(false);
  };
  return html`<button type="button" class=${`button ${kind}`} onClick=${click} disabled=${disabled || busy} aria-busy=${busy} aria-label=${label} aria-keyshortcuts=${keys} title=${title ?? label}>
    ${icon && html`<${Icon} name=${icon} />`}${children}
  </button>`;
}

/** Copy a text. A page over plain HTTP has no clipboard: there the text is selected, to be copied by hand. @param {string} text @param {Element | null} [shownIn] */
export async function copy(text, shownIn = null) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied");
  } catch {
    if (shownIn === null) return tell("This page may not use the clipboard: select the text and copy it.");
    getSelection()?.selectAllChildren(shownIn);
    tell("Selected: press Ctrl+C to copy it.");
  }
}

/** Text in a box, with a button that copies it. @param {{text: string, language?: string, label?: string}} props */
export function Code({ text, language = "", label = "Copy" }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  return html`<div class="code">
    <pre tabindex="0" aria-label=${language ? `Code, ${language}` : "Code"}><code ref=${box}>${text}</code></pre>
    <${Button} kind="small plain" icon="copy" label=${label} run=${() => void copy(text, box.current)} />
  </div>`;
}

const LONG_CHARS = 6_000;

/** A message's or task's text: paragraphs, code to copy, links that can only lead to the web. @param {{text: string}} props */
export function Body({ text }) {
  const [whole, setWhole] = useState(false);
  const long = text.length > LONG_CHARS;
  const shown = long && !whole ? text.slice(0, LONG_CHARS) : text;
  return html`<div class="body" dir="auto">
    ${blocksOf(shown).map((block) =>
      block.kind === "code"
        ? html`<${Code} text=${block.text} language=${block.language} label="Copy this code" />`
        : html`<p>${spansOf(block.text).map(Span)}</p>`,
    )}
    ${
      long &&
      html`<p><button type="button" class="button small" aria-expanded=${whole} onClick=${() => setWhole(!whole)}>
      ${whole ? "Show less" : `Show all ${Math.round(text.length / 1000)} KB`}
    </button></p>`
    }
  </div>`;
}

/** @param {import("../core/text.js").Span} span */
function Span(span) {
  if (span.kind === "code") return html`<code>${span.text}</code>`;
  if (span.kind === "link")
    return html`<a href=${span.text} target="_blank" rel="noopener noreferrer">${span.text}</a>`;
  return span.text;
}

/** What a message says, in a line. @param {{message: {subject: string | null, body: string}}} props */
export const Gist = ({ message }) =>
  html`<span class="gist">${message.subject ? html`<b>${firstLine(message.subject)}</b> ` : ""}<span class="quiet">${firstLine(message.body)}</span></span>`;

/** Why there is nothing, and what to do about it. @param {{title: string, children?: Children, icon?: string}} props */
export const Empty = ({ title, children, icon = "inbox" }) =>
  html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;

/** Nothing that matches, which is another matter than nothing. @param {{what: string, clear: () => void}} props */
export const Filtered = ({ what, clear }) =>
  html`<div class="empty"><${Icon} name="filter-off" /><h2>No ${what} match these filters</h2><button type="button" class="button" onClick=${clear}>Clear filters</button></div>`;

/** What a resource could not get, with a way to try again. @param {{error: import("../core/api.js").Problem | null, reload: () => void}} props */
export const Trouble = ({ error, reload }) =>
  error &&
  html`<div class="trouble" role="alert"><${Icon} name="alert-triangle" />
    <p>${error.detail} <code>${error.code}</code>${error.requestId && html` <span class="quiet">request ${error.requestId}</span>`}</p>
    <button type="button" class="button small" onClick=${reload}>Try again</button></div>`;

/** A choice of one of a few, as buttons. @param {{label: string, value: string, options: readonly (readonly [string, string])[], set: (value: string) => void}} props */
export const Choice = ({ label, value, options, set }) =>
  html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(
      ([key, text]) =>
        html`<button type="button" aria-pressed=${key === value} onClick=${() => set(key)}>${text}</button>`,
    )}
  </div>`;

/** A field of a filter bar. @param {{label: string, value: string | undefined, set: (value: string) => void, placeholder?: string, list?: string, main?: boolean}} props */
export const SearchField = ({ label, value, set, placeholder = "", list, main = false }) =>
  html`<label class="search"><span class="unseen">${label}</span><${Icon} name="search" />
    <input type="search" value=${value ?? ""} placeholder=${placeholder || label} list=${list} autocomplete="off" spellcheck=${false} data-filter=${main || undefined}
      onInput=${(/** @type {Event} */ event) => set(/** @type {HTMLInputElement} */ (event.target).value)} /></label>`;

/** @param {{label: string, value: string | undefined, options: readonly (readonly [string, string])[], set: (value: string) => void}} props */
export const SelectField = ({ label, value, options, set }) =>
  html`<label class="select"><span>${label}</span>
    <select value=${value ?? ""} onChange=${(/** @type {Event} */ event) => set(/** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value="">any</option>
      ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
    </select></label>`;

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** Keys as they are printed on a keyboard. @param {{keys: string}} props */
export const Keys = ({ keys }) =>
  html`<span class="keys">${keys.split(/[ +]/).map((key) => html`<kbd>${key === "Mod" ? (MAC ? "⌘" : "Ctrl") : key === "Escape" ? "Esc" : key}</kbd>`)}</span>`;
