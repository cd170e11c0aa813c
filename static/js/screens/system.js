/** System: how the relay is, what it holds, the settings in force, and what this browser keeps. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { call, token, Problem } from "../core/api.js";
import { useResource } from "../core/data.js";
import { duration, number, plural, size } from "../core/format.js";
import { line } from "../core/live.js";
import { address } from "../core/router.js";
import { setTheme, theme } from "../core/commands.js";
import { Button, Choice, Icon, Trouble } from "../ui/bits.js";
import { Sparkline } from "../ui/charts.js";
import { Backup } from "./system/backup.js";
import { Settings } from "./system/settings.js";

/** @typedef {import("../core/types.js").Stats} Stats */
/** @typedef {import("./system/settings.js").Setting} Setting */

const EVERY_MS = 5_000;

export function System() {
  const stats = useResource("/stats", { pollMs: EVERY_MS });
  const settings = useResource("/settings");
  /** @type {Setting[] | null} */
  const list = settings.data?.settings ?? null;
  return html`<h1>System</h1>
    <div class="system-grid">
      <${Health} stats=${stats.data} />
      <section class="panel system-panel" aria-labelledby="holds-title"><h2 id="holds-title">What it holds</h2>
        <${Trouble} error=${stats.error} reload=${stats.reload} />${stats.data && html`<${Holds} stats=${stats.data} />`}</section>
      <section class="panel system-panel" aria-labelledby="live-title"><h2 id="live-title">Live</h2>${stats.data && html`<${Live} stats=${stats.data} />`}</section>
      <${Backup} bytes=${stats.data?.databaseBytes ?? null} />
      <${Browser} />
      <${Places} settings=${list} />
    </div>
    <${Settings} list=${list} error=${settings.error} reload=${settings.reload} />`;
}

/** @param {{stats: Stats | null}} props */
function Health({ stats }) {
  const { data, error } = useResource("/healthz", { pollMs: EVERY_MS });
  const good = error === null;
  const over =
    line.value.phase !== "live" ? "not connected" : line.value.by === "stream" ? "the event stream" : "a WebSocket";
  return html`<section class="panel system-panel" aria-labelledby="health-title"><h2 id="health-title">Health</h2>
    ${
      (data !== null || error !== null) &&
      html`<p class=${`health ${good ? "is-good" : "is-bad"}`} role="status"><${Icon} name=${good ? "circle-check" : "alert-triangle"} />${good ? "The relay and its database answer" : error?.detail}</p>`
    }
    <dl class="facts">
      <dt>Version</dt><dd>${data?.version ?? "…"}</dd>
      <dt>Up for</dt><dd>${stats === null ? "…" : duration(stats.uptimeS)}</dd>
      <dt>Manager</dt><dd>${data === null ? "…" : (data.manager ?? html`<span class="quiet">none: started by hand</span>`)}</dd>
      <dt>Instance</dt><dd><code>${data?.instance ?? "…"}</code></dd>
      <dt>This page hears by</dt><dd>${over}</dd>
      <dt>API</dt><dd><a href="/explorer" target="_blank" rel="noopener">Explorer <${Icon} name="external-link" /></a> <span class="quiet">and <code>/api/openapi.json</code></span></dd>
    </dl></section>`;
}

/** @param {{stats: Stats}} props */
function Holds({ stats }) {
  const agents = Object.entries(stats.agents).filter(([, count]) => count > 0);
  const tasks = Object.entries(stats.tasks).filter(([, count]) => count > 0);
  const said = (/** @type {[string, number][]} */ counts) =>
    counts.map(([word, count]) => `${number(count)} ${word.replace("_", " ")}`).join(", ");
  return html`<dl class="facts">
    <dt>Database</dt><dd>${size(stats.databaseBytes)} <span class="quiet">on disk</span></dd>
    <dt>Messages</dt><dd><a href=${address("threads")}>${number(stats.messages)}</a></dd>
    <dt>Unclaimed work</dt><dd>${number(stats.claimableOpen)}</dd>
    <dt>Unread by human</dt><dd>${number(stats.unreadHuman)}</dd>
    <dt>Agents</dt><dd>${agents.length === 0 ? "none" : html`<a href=${address("agents")}>${said(agents)}</a>`}</dd>
    <dt>Active tasks</dt><dd>${tasks.length === 0 ? "none" : html`<a href=${address("tasks")}>${said(tasks)}</a>`}</dd>
    <dt>Callbacks</dt><dd>${number(stats.callbacks.pending)} pending, ${stats.callbacks.dead > 0 ? html`<a href=${address("integrations", "", { state: "dead" })}>${number(stats.callbacks.dead)} dead</a>` : "none dead"}</dd>
  </dl>`;
}

const POINTS = 60;

/** Streams and the log of events; how fast that grows shows from one look to the next. @param {{stats: Stats}} props */
function Live({ stats }) {
  const before = useRef(/** @type {{at: number, seq: number} | null} */ (null));
  const [rates, setRates] = useState(/** @type {number[]} */ ([]));
  useEffect(() => {
    const at = performance.now();
    const was = before.current;
    before.current = { at, seq: stats.eventSeq };
    if (was === null || at - was.at < 500) return;
    setRates((known) => [...known, Math.max(0, (60_000 * (stats.eventSeq - was.seq)) / (at - was.at))].slice(-POINTS));
  }, [stats]);
  const last = rates.at(-1);
  const held = stats.eventSeq - stats.eventFloor;
  return html`<dl class="facts">
      <dt>WebSockets</dt><dd>${number(stats.live.websocket)}</dd>
      <dt>Event streams</dt><dd>${number(stats.live.sse)}</dd>
      <dt>Long polls</dt><dd>${number(stats.live.longPoll)}</dd>
      <dt>Newest event</dt><dd>${number(stats.eventSeq)}</dd>
      <dt>Replay reaches</dt><dd>up to ${plural(held, "event")} back <span class="quiet">to ${number(stats.eventFloor)}</span></dd>
      <dt>Events a minute</dt><dd>${last === undefined ? html`<span class="quiet">counting…</span>` : number(Math.round(last * 10) / 10)}</dd>
    </dl>
    <div class="rate">${rates.length > 1 && html`<${Sparkline} values=${rates} label="Events a minute" width=${240} height=${32} />`}</div>`;
}

const THEMES = /** @type {const} */ ([
  ["auto", "Automatic"],
  ["light", "Light"],
  ["dark", "Dark"],
]);

/** What belongs to this browser alone. */
function Browser() {
  const signOut = async () => {
    try {
      // A session ends by it; the shared token, which others use too, is left alone by the relay.
      await call("DELETE", "/session");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 0) throw error;
    }
    token.set(null);
    location.reload();
  };
  return html`<section class="panel system-panel" aria-labelledby="browser-title"><h2 id="browser-title">This browser</h2>
    <div class="bar"><span class="quiet">Theme</span><${Choice} label="Theme" value=${theme.value} options=${THEMES} set=${setTheme} /></div>
    ${
      token.get() === null
        ? html`<p class="quiet">No token is kept here: this relay asks for none, and trusts every program on its machine.</p>`
        : html`<p>A token is kept here, for this address.</p>
          <div><${Button} kind="small" icon="logout" what="Could not sign out" run=${signOut}>Sign out of this browser</${Button}></div>`
    }
  </section>`;
}

/** Where things lie. @param {{settings: Setting[] | null}} props */
function Places({ settings }) {
  const value = (/** @type {string} */ name) => settings?.find((setting) => setting.name === name)?.value;
  const days = value("RETENTION_DAYS");
  return html`<section class="panel system-panel" aria-labelledby="places-title"><h2 id="places-title">Where data lies</h2>
    <dl class="facts">
      <dt>Database</dt><dd><code>${String(value("DB_PATH") ?? "…")}</code></dd>
      <dt>Env file</dt><dd><code>relay.env</code> in the config folder <span class="quiet">(Linux: <code>~/.config/agent-relay</code>)</span></dd>
      <dt>Integrations</dt><dd><code>integrations.json</code> beside it</dd>
      <dt>Kept for</dt><dd>${days === undefined ? "…" : days === 0 ? "ever: nothing is deleted by age" : html`${plural(Number(days), "day")} <span class="quiet">messages, closed tasks and events; what belongs to active tasks stays</span>`}</dd>
    </dl></section>`;
}
