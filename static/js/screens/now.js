/** Now: how it stands, what happens, and what needs a human. */
import { html, useMemo, useRef, useState } from "../lib.js";
import { feed, FEED_LENGTH, stats, useResource } from "../core/data.js";
import { number, plural, secondsOf, fullTime } from "../core/format.js";
import { address, filters } from "../core/router.js";
import { readable, firstLine } from "../core/text.js";
import { redeliver } from "../core/actions.js";
import { Button, Chip, Choice, Code, Empty, Gist, Icon, Severity, Time, Trouble, Who, wordOf } from "../ui/bits.js";
import { Bars, Sparkline } from "../ui/charts.js";
import { Windowed } from "../ui/windowed.js";
import { joinCommand } from "../ui/join-commands.js";

/** @typedef {import("../core/data.js").FeedLine} FeedLine */

const where = filters({ kind: /^(messages|work|agents|callbacks|reads)$/ });
const NAMES = /** @type {const} */ ([
  ["all", "Everything"],
  ["messages", "Messages"],
  ["work", "Work"],
  ["agents", "Agents"],
  ["callbacks", "Callbacks"],
  ["reads", "Reads"],
]);

/** @type {Record<string, (line: FeedLine) => boolean>} */
const SHOWS = {
  all: ({ event }) => event !== "message.read",
  messages: ({ event }) => event === "message.new" || event === "message.deleted",
  work: ({ event, data }) =>
    event.startsWith("task.") ||
    event === "message.claimed" ||
    event === "message.released" ||
    (event === "message.new" && data.claimable),
  agents: ({ event }) => event.startsWith("agent."),
  callbacks: ({ event }) => event === "callback.attempt",
  reads: ({ event }) => event === "message.read",
};

export function Now() {
  const activity = useResource("/activity?minutes=60", { on: /^message\./, everyMs: 2_000, pollMs: 60_000 });
  return html`<h1 class="unseen">Now</h1>
    <${Tiles} activity=${activity.data} />
    <div class="now-columns">
      <${Feed} />
      <div class="now-side">
        <${NeedsHuman} />
        <section class="panel" aria-labelledby="activity-title">
          <h2 id="activity-title">The last hour</h2>
          <${Trouble} error=${activity.error} reload=${activity.reload} />
          ${activity.data && html`<${Charts} activity=${activity.data} />`}
        </section>
      </div>
    </div>`;
}

/** @param {{activity: import("../core/types.js").Activity | null}} props */
function Tiles({ activity }) {
  const here = stats.value;
  if (here === null) return null;
  const { stale = 0, offline = 0 } = here.agents;
  const agents = Object.values(here.agents).reduce((sum, count) => sum + count, 0);
  const tasks = here.tasks;
  const open = Object.values(tasks).reduce((sum, count) => sum + count, 0);
  const last = activity?.messages.at(-2) ?? 0;
  return html`<ul class="tiles" aria-label="How it stands">
    <${Tile} href=${address("agents")} value=${agents - stale - offline} name="agents online" more=${`of ${number(agents)}`} />
    <${Tile} href=${address("tasks")} value=${open} name="active tasks" more=${tasks.blocked ? `${number(tasks.blocked)} blocked` : "none blocked"} tone=${tasks.blocked ? "warn" : ""} />
    <${Tile} href=${address("threads", "", { open: "yes" })} value=${here.claimableOpen} name="unclaimed work" more="claimable, nobody holds it" tone=${here.claimableOpen ? "note" : ""} />
    <${Tile} href=${address("threads")} value=${last} name="messages a minute" more=${activity && html`<${Sparkline} values=${activity.messages} label="Messages a minute" width=${110} height=${22} />`} />
    <${Tile} href=${address("integrations", "", { state: "dead" })} value=${here.callbacks.dead ?? 0} name="dead callbacks" more=${`${number(here.callbacks.pending ?? 0)} pending`} tone=${here.callbacks.dead ? "bad" : ""} />
  </ul>`;
}

/** @param {{href: string, value: number, name: string, more?: unknown, tone?: string}} props */
const Tile = ({ href, value, name, more, tone = "" }) =>
  html`<li><a class=${`tile ${tone}`} href=${href}><span class="tile-value">${number(value)}</span><span class="tile-name">${name}</span><span class="tile-more">${more}</span></a></li>`;

function Feed() {
  const kind = where.read().kind ?? "all";
  const [paused, setPaused] = useState(false);
  const [away, setAway] = useState(false);
  const frozen = useRef(/** @type {FeedLine[] | null} */ (null));
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const all = feed.value;
  const held = paused || away;
  if (held && frozen.current === null) frozen.current = all;
  if (!held) frozen.current = null;
  const shown = frozen.current ?? all;
  const lines = useMemo(() => shown.filter(/** @type {any} */ (SHOWS[kind])), [shown, kind]);
  const newest = shown[0]?.id ?? 0;
  const fresh = held ? all.filter((line) => line.id > newest && SHOWS[kind]?.(line)).length : 0;
  const catchUp = () => {
    setPaused(false);
    setAway(false);
    box.current?.scrollTo({ top: 0 });
  };
  return html`<section class="panel feed" aria-labelledby="feed-title">
    <header class="panel-head"><h2 id="feed-title">Live</h2>
      <${Choice} label="Show" value=${kind} options=${NAMES} set=${(/** @type {any} */ value) => where.set({ kind: value === "all" ? undefined : value })} />
      <span class="grow"></span>
      <button type="button" class="button small" aria-pressed=${paused} onClick=${() => (paused ? catchUp() : setPaused(true))}>
        <${Icon} name=${paused ? "player-play" : "player-pause"} />${paused ? "Resume" : "Pause"}</button>
    </header>
    ${fresh > 0 && html`<button type="button" class="pill" onClick=${catchUp}>${fresh >= FEED_LENGTH ? `${FEED_LENGTH} or more` : number(fresh)} new</button>`}
    ${lines.length === 0 ? html`<${NothingYet} kind=${kind} />` : html`<${Windowed} box=${box} kind="feed-list" label="What happens, newest first" items=${lines} keyOf=${(/** @type {FeedLine} */ line) => line.id} rowPx=${30} row=${row} scrolled=${(/** @type {number} */ top) => setAway(top > 24)} />`}
    ${all.length >= FEED_LENGTH && html`<p class="panel-foot quiet">The newest ${FEED_LENGTH} events. What came before is in <a href=${address("threads")}>Threads</a> and <a href=${address("tasks")}>Tasks</a>.</p>`}
  </section>`;
}

/** @param {{kind: string}} props */
function NothingYet({ kind }) {
  if (kind !== "all")
    return html`<div class="empty small"><p>Nothing of this kind yet.</p><button type="button" class="button small" onClick=${() => where.clear()}>Show everything</button></div>`;
  return html`<${Empty} title="Nothing has happened yet" icon="activity">
    <p>Everything that agents say and do appears here as it happens. Let one join:</p>
    <${Code} text=${joinCommand()} label="Copy the join command" />
    <p class="quiet" role="status"><span class="pulse" aria-hidden="true"></span> waiting for the first agent…</p>
  </${Empty}>`;
}

/** @param {FeedLine} line */
function row(line) {
  const [icon, href, text] = lineOf(line);
  return html`<a class=${`feed-line of-${line.event.split(".")[0]}`} data-row href=${href}>
    ${line.at === "" ? html`<time title="Before this page was opened">earlier</time>` : html`<time datetime=${line.at} title=${fullTime(line.at)}>${secondsOf(line.at)}</time>`}<${Icon} name=${icon} />
    <span class="feed-text">${text}</span></a>`;
}

const W = (/** @type {{id: string}} */ { id }) => html`<${Who} id=${id} link=${false} />`;

/** What an event says, and where it leads. @param {FeedLine} line @returns {[string, string, unknown]} */
function lineOf({ event, data }) {
  const thread = () => address("threads", data.threadId, data.threadId === data.id ? {} : { at: String(data.id) });
  switch (event) {
    case "message.new":
      return [
        "message-2",
        thread(),
        html`<${W} id=${data.from} /><${Icon} name="arrow-narrow-right" /><span class="unseen">to</span> <${W} id=${data.to} /> ${data.claimable && html`<${Chip} tone="note">claimable</${Chip}>`} ${data.priority !== "normal" && html`<${Chip} tone=${data.priority === "urgent" ? "bad" : ""}>${data.priority}</${Chip}>`} <${Gist} message=${data} />`,
      ];
    case "message.claimed":
      return ["hand-stop", thread(), html`<${W} id=${data.claimedBy ?? "?"} /> claimed <${Gist} message=${data} />`];
    case "message.released":
      return ["arrow-back-up", thread(), html`released, nobody holds it: <${Gist} message=${data} />`];
    case "message.read":
      return [
        "check",
        address("threads", data.messageId),
        html`<${W} id=${data.agentId} /> read message ${data.messageId}`,
      ];
    case "message.deleted":
      return ["trash", address("threads"), html`message ${data.id} from <${W} id=${data.from} /> was deleted`];
    case "agent.registered":
      return [
        "robot",
        address("agents", data.id),
        html`<${W} id=${data.id} /> registered ${data.project && html`<span class="quiet">in ${readable(data.project)}</span>`}`,
      ];
    case "agent.status":
      return [
        "robot",
        address("agents", data.id),
        html`<${W} id=${data.id} /> is ${wordOf(data.status)}${data.ready ? "" : ", not taking work"}`,
      ];
    case "agent.removed":
      return ["robot", address("agents"), html`<${W} id=${data.id} /> left`];
    case "task.created":
      return [
        "checklist",
        address("tasks", data.id),
        html`<${W} id=${`${data.source}`} /> opened <${Severity} severity=${data.severity} /> ${firstLine(data.title)}`,
      ];
    case "task.claimed":
      return [
        "hand-stop",
        address("tasks", data.id),
        html`<${W} id=${data.claimedBy ?? "?"} /> claimed task ${data.id} <span class="quiet">${firstLine(data.title)}</span>`,
      ];
    case "task.updated":
    case "task.status":
      return [
        "checklist",
        address("tasks", data.id),
        html`task ${data.id} ${event === "task.status" ? html`is ${wordOf(data.status)}` : data.occurrenceCount > 1 && data.status === "open" ? `seen ${data.occurrenceCount}×` : `updated`} ${data.progress !== null && data.closedAt === null && `(${data.progress} %)`} <span class="quiet">${firstLine(data.title)}</span>`,
      ];
    case "callback.attempt": {
      const last = data.attempts.at(-1);
      const said =
        data.state === "delivered"
          ? "delivered"
          : data.state === "dead"
            ? "given up"
            : `not delivered (${last?.status ?? last?.error ?? "no answer"})`;
      return [
        "webhook",
        address("integrations", data.integration, { callback: String(data.id) }),
        html`callback ${data.event} to <${W} id=${data.integration} />: ${said}`,
      ];
    }
    default:
      return ["activity", "/", event];
  }
}

/** @param {{activity: import("../core/types.js").Activity}} props */
const Charts = ({ activity }) =>
  html`<figure><figcaption>Messages a minute</figcaption><${Bars} values=${activity.messages} label="Messages in the last hour" names=${["messages"]} endsAt=${activity.to} /></figure>
    <figure><figcaption>Claims <span class="key">granted</span> <span class="key over">lost races</span></figcaption>
      <${Bars} values=${activity.claims} over=${activity.lostClaims} label="Claims in the last hour" names=${["claims granted", "lost"]} endsAt=${activity.to} /></figure>`;

function NeedsHuman() {
  const { data, error, reload } = useResource("/attention?limit=8", { on: /^(message\.|task\.|callback\.attempt)/ });
  const [open, setOpen] = useState(true);
  /** @type {import("../core/types.js").Attention | null} */
  const found = data;
  const total = found === null ? 0 : Object.values(found.counts).reduce((sum, count) => sum + count, 0);
  return html`<section class="panel needs" aria-labelledby="needs-title">
    <header class="panel-head"><h2 id="needs-title">Needs a human</h2>${total > 0 && html`<span class="count">${total}</span>`}<span class="grow"></span>
      ${total > 0 && html`<button type="button" class="button small plain" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "Hide" : "Show"}</button>`}</header>
    <${Trouble} error=${error} reload=${reload} />
    ${found !== null && total === 0 && html`<p class="all-well"><${Icon} name="circle-check" /> Nothing. Messages to <b>human</b>, blocked tasks, released work and dead callbacks show here.</p>`}
    ${
      found !== null &&
      open &&
      total > 0 &&
      html`<${Group} title="Messages to human" count=${found.counts.messages} href=${address("threads", "", { to: "human" })}>
        ${found.messages.map((message) => html`<li key=${message.id}><a data-row href=${address("threads", message.threadId, { at: String(message.id) })}><${Gist} message=${message} /><span class="quiet"><${Who} id=${message.from} link=${false} /> · <${Time} at=${message.createdAt} /></span></a></li>`)}
      </${Group}>
      <${Group} title="Blocked tasks" count=${found.counts.blockedTasks} href=${address("tasks", "", { status: "blocked" })}>
        ${found.blockedTasks.map((task) => html`<li key=${task.id}><a data-row href=${address("tasks", task.id)}><span>${firstLine(task.title)}</span><span class="quiet"><${Who} id=${task.claimedBy ?? "nobody"} link=${false} /> · <${Time} at=${task.updatedAt} /></span></a></li>`)}
      </${Group}>
      <${Group} title="Released work" count=${found.counts.releasedWork} href=${address("threads", "", { open: "yes" })}>
        ${found.releasedWork.map((message) => html`<li key=${message.id}><a data-row href=${address("threads", message.threadId, { at: String(message.id) })}><${Gist} message=${message} /><span class="quiet">to <${Who} id=${message.to} link=${false} /> · <${Time} at=${message.createdAt} /></span></a></li>`)}
      </${Group}>
      <${Group} title="Dead callbacks" count=${found.counts.deadCallbacks} href=${address("integrations", "", { state: "dead" })}>
        ${found.deadCallbacks.map((delivery) => html`<li key=${delivery.id} class="with-button"><a data-row href=${address("integrations", delivery.integration, { callback: String(delivery.id) })}><span>${delivery.event} to ${readable(delivery.integration)}, task ${delivery.taskId}</span><span class="quiet">${plural(delivery.attempts.length, "attempt")} · <${Time} at=${delivery.createdAt} /></span></a><${Button} kind="small" run=${() => redeliver(delivery.id)} what="Could not redeliver">Redeliver</${Button}></li>`)}
      </${Group}>`
    }
  </section>`;
}

/** @param {{title: string, count: number, href: string, children?: import("preact").ComponentChildren}} props */
const Group = ({ title, count, href, children }) =>
  count > 0 &&
  html`<h3>${title} <span class="quiet">${count}</span></h3><ul class="needs-list">${children}</ul>${count > 8 && html`<p><a href=${href}>All ${count}</a></p>`}`;
