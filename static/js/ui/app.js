/** The frame around every screen: navigation, the state of the line, notices, and what opens over the page. */
import { html, useEffect, useErrorBoundary, useState } from "../lib.js";
import { route } from "../core/router.js";
import { isAt, line, retryNow } from "../core/live.js";
import { complete, ready, startProblem, stats, useResource } from "../core/data.js";
import { commands, SCREENS, overlay, theme, nextTheme } from "../core/commands.js";
import { fullTime, clockOf, duration } from "../core/format.js";
import { toasts, dismiss } from "../core/toasts.js";
import { ComposeDialog } from "./composer.js";
import { Icon, Keys } from "./bits.js";
import { TokenDialog } from "./dialog.js";
import { Palette, Sheet } from "./palette.js";
import { isScreen, screenOf } from "../screens/index.js";

export function App() {
  const { screen } = route.value;
  const known = SCREENS.find(([name]) => name === screen);
  const unread = stats.value?.unreadHuman ?? 0;
  const title = known?.[1] ?? "Not found";
  useEffect(() => {
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${title} · Agent Relay`;
    markIcon(unread > 0);
  }, [title, unread]);
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to ${title}</a>
    <div class="shell">
      <${Navigation} screen=${screen} unread=${unread} />
      <${Banner} />
      <main id="main" tabindex="-1" class=${`screen screen-${screen}`} aria-label=${title}>${ready.value && (complete.value || !NEED_ALL.has(screen)) ? html`<${Screen} key=${screen} screen=${screen} />` : html`<${Starting} />`}</main>
    </div>
    <${Toasts} />
    ${overlay.value === "palette" && html`<${Palette} />`}
    ${overlay.value === "sheet" && html`<${Sheet} />`}
    <${ComposeDialog} />
    <${TokenDialog} />`;
}

/** Screens that would say "none" of what has yet to come. */
const NEED_ALL = new Set(["agents", "tasks"]);

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** @param {{screen: string}} props */
function Screen({ screen }) {
  const [error, again] = useErrorBoundary((thrown) => console.error(thrown));
  if (error) {
    return html`<div class="trouble" role="alert"><${Icon} name="alert-triangle" /><p>This screen has a fault: ${String(error)}</p>
      <button type="button" class="button small" onClick=${again}>Draw it again</button></div>`;
  }
  if (!isScreen(screen)) {
    return html`<div class="empty"><h1>There is nothing at this address</h1><p><a href="/">Go to Now</a></p></div>`;
  }
  const found = screenOf(screen);
  if (found === undefined) return html`<p class="starting" role="status">Fetching this screen…</p>`;
  return html`<${found} />`;
}

/** @param {{screen: string, unread: number}} props */
function Navigation({ screen, unread }) {
  const stand = useResource(ready.value ? "/stats" : null, { on: /^(message|task|agent|callback)\./, pollMs: 30_000 });
  useEffect(() => {
    if (stand.data === null) return;
    stats.value = stand.data;
    isAt(stand.data.eventSeq);
  }, [stand.data]);
  const { phase } = line.value;
  const word = phase === "live" ? "Live" : phase === "connecting" ? "Connecting" : "Not connected";
  return html`<nav class="nav" aria-label="Screens">
    <a class="brand" href="/"><img src=${icon()} alt="" width="24" height="24" /><span>Agent Relay</span></a>
    <ul>
      ${SCREENS.map(
        ([
          name,
          label,
          key,
          image,
        ]) => html`<li class=${name === "now" || name === "agents" || name === "threads" || name === "tasks" ? "" : "further"}>
          <a href=${name === "now" ? "/" : `/${name}`} aria-current=${name === screen ? "page" : undefined} title=${`${label} (g ${key})`}>
            <${Icon} name=${image} /><span>${label}</span>${name === "threads" && unread > 0 && html`<span class="count" aria-label=${`${unread} unread for human`}>${unread > 99 ? "99+" : unread}</span>`}
          </a></li>`,
      )}
      <li class="more"><button type="button" onClick=${run("palette")}><${Icon} name="dots" /><span>More</span></button></li>
    </ul>
    <div class="nav-foot">
      <button type="button" class="nav-tool" onClick=${run("compose")} aria-keyshortcuts="c"><${Icon} name="pencil" /><span>Message</span><${Keys} keys="c" /></button>
      <button type="button" class="nav-tool" onClick=${run("palette")}><${Icon} name="search" /><span>Find</span><${Keys} keys="Mod+k" /></button>
      <button type="button" class="nav-tool" onClick=${nextTheme} aria-label=${`Theme: ${theme.value}`}><${Icon} name=${theme.value === "dark" ? "moon" : theme.value === "light" ? "sun" : "contrast"} /><span>Theme: ${theme.value}</span></button>
      <p class=${`line is-${phase}`} title=${line.value.by === "stream" ? "Over the event stream: no WebSocket gets through" : "Over a WebSocket"}>
        <span class="dot" aria-hidden="true"></span><span role="status">${word}</span></p>
    </div>
  </nav>`;
}

/** @param {string} id */
const run = (id) => () => commands.find((command) => command.id === id)?.run();

/** Says since when nothing is heard, and when it is tried again; what is shown stays. */
function Banner() {
  const { phase, since, retryAt } = line.value;
  const away = phase === "waiting" || (phase === "connecting" && retryAt !== 0);
  const [at, setAt] = useState(Date.now());
  useEffect(() => {
    document.documentElement.classList.toggle("is-away", away);
    if (!away) return;
    const timer = setInterval(() => setAt(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [away]);
  if (!away || !ready.value) return null;
  const left = Math.max(0, Math.round((retryAt - at) / 1000));
  const next = phase === "connecting" || left === 0 ? "connecting…" : `trying again in ${duration(left)}`;
  return html`<div class="banner" role="status"><${Icon} name="alert-triangle" />
    <p>No connection to the relay since <time datetime=${new Date(since).toISOString()} title=${fullTime(since)}>${clockOf(new Date(since).toISOString())}</time>: what you see is from then. <span class="quiet">${next}</span></p>
    <button type="button" class="button small" onClick=${retryNow}>Retry now</button></div>`;
}

function Starting() {
  const problem = startProblem.value;
  if (problem === null) return html`<p class="starting" role="status">Asking the relay…</p>`;
  return html`<div class="empty"><${Icon} name="alert-triangle" /><h1>${problem.title}</h1><p>${problem.detail}</p>
    <p class="quiet">Trying again every few seconds. On the relay’s machine, <code>agent-relay</code> starts it.</p></div>`;
}

function Toasts() {
  return html`<div class="toasts">
    <div aria-live="polite" aria-relevant="additions" role="status">
      ${toasts.value.map(
        (toast) => html`<div key=${toast.id} class=${`toast is-${toast.tone}`}>
          <${Icon} name=${toast.tone === "good" ? "circle-check" : "alert-triangle"} />
          <p>${toast.text}${toast.detail && html`<code>${toast.detail}</code>`}</p>
          ${toast.action && html`<button type="button" class="button small" onClick=${toast.action.run}>${toast.action.label}</button>`}
          ${!toast.action && html`<button type="button" class="button plain small" aria-label="Dismiss" onClick=${() => dismiss(toast.id)}><${Icon} name="x" /></button>`}
        </div>`,
      )}
    </div>
  </div>`;
}

const icon = () =>
  document.querySelector('link[rel="icon"]')?.getAttribute("href")?.replace("icon-unread.svg", "icon.svg") ?? "";

/** @param {boolean} unread */
function markIcon(unread) {
  document
    .querySelector('link[rel="icon"]')
    ?.setAttribute("href", unread ? icon().replace("icon.svg", "icon-unread.svg") : icon());
}
