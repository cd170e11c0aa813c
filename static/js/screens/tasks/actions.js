/** What a human can do with a task: claim it for an agent, take it back, move it, note how far it is. */
import { html, useState } from "../../lib.js";
import { agents, putTask } from "../../core/data.js";
import { post } from "../../core/api.js";
import { setTaskStatus } from "../../core/actions.js";
import { readable } from "../../core/text.js";
import { Button, Choice, wordOf } from "../../ui/bits.js";

/** @typedef {import("../../core/types.js").Task} Task */
/** @typedef {import("../../core/types.js").TaskStatus} TaskStatus */
/** @typedef {import("../../core/types.js").Receipt} Receipt */

/** Which moves there are, beside a claim and a release. @type {Record<TaskStatus, readonly TaskStatus[]>} */
const MOVES = {
  open: ["cancelled"],
  claimed: ["in_progress", "blocked", "done", "failed", "cancelled"],
  in_progress: ["blocked", "done", "failed", "cancelled"],
  blocked: ["in_progress", "done", "failed", "cancelled"],
  done: [],
  failed: [],
  cancelled: [],
};

/** @param {{task: Task, reached: Receipt[] | null, changed: () => void}} props `reached`: whom its target reaches */
export function Actions({ task, reached, changed }) {
  const held = task.status !== "open" && MOVES[task.status].length > 0;
  return html`<section class="task-actions" aria-label="As a human">
    ${task.status === "open" && html`<${Claim} task=${task} reached=${reached} changed=${changed} />`}
    <${Move} key=${task.status} task=${task} changed=${changed}>
      ${held && html`<${Button} icon="arrow-back-up" title=${`Take it back from ${readable(task.claimedBy ?? "")}: it is open again`} what=${`Could not release task ${task.id}`} run=${() => done(release(task.id), changed)}>Release</${Button}>`}
    </${Move}>
  </section>`;
}

/** @param {Promise<unknown>} work @param {() => void} then */
const done = async (work, then) => {
  await work;
  then();
};

/** @param {number} id */
const release = async (id) => putTask(await post(`/tasks/${id}/release`, { agentId: "human" }));

/** @param {{task: Task, reached: Receipt[] | null, changed: () => void}} props */
function Claim({ task, reached, changed }) {
  const [chosen, setChosen] = useState("");
  const alive = ["online", "idle", "busy", "stale", "offline"];
  const found = (reached ?? [])
    .flatMap(({ agentId }) => agents.get(agentId) ?? [])
    .sort((a, b) => alive.indexOf(a.status) - alive.indexOf(b.status) || (a.id < b.id ? -1 : 1));
  const agentId = found.some((agent) => agent.id === chosen) ? chosen : found[0]?.id;
  if (reached === null) return null;
  if (agentId === undefined)
    return html`<p class="quiet">No registered agent is reached by <code>${readable(task.target)}</code>, so nobody can claim it.</p>`;
  const run = async () => putTask(await post(`/tasks/${task.id}/claim`, { agentId }));
  return html`<div class="bar claim-for"><label class="select"><span>Claim for</span>
      <select value=${agentId} onChange=${(/** @type {any} */ event) => setChosen(event.target.value)}>
        ${found.map((agent) => html`<option value=${agent.id} selected=${agent.id === agentId}>${readable(agent.labels[0] ? `${agent.id} · ${agent.labels[0]}` : agent.id)} (${wordOf(agent.status)}${agent.ready ? "" : ", not taking work"})</option>`)}
      </select></label>
    <${Button} icon="hand-stop" what=${`Could not claim task ${task.id}`} run=${() => done(run(), changed)}>Claim</${Button}></div>`;
}

/** A move, or, staying where it is, progress and a note. @param {{task: Task, changed: () => void, children?: import("preact").ComponentChildren}} props */
function Move({ task, changed, children }) {
  const moves = MOVES[task.status];
  const [to, setTo] = useState("");
  const [note, setNote] = useState("");
  const [percent, setPercent] = useState("");
  const [result, setResult] = useState("");
  const stays = to === "";
  const closes = to === "done" || to === "failed";
  const measured = moves.length > 0 && task.status !== "open" && to !== "cancelled";
  const progress = percent.trim() === "" ? undefined : Number(percent);
  const bad = progress !== undefined && !(Number.isInteger(progress) && progress >= 0 && progress <= 100);
  const nothing = stays && note.trim() === "" && (progress === undefined || !measured);
  const run = async () => {
    /** @type {Parameters<typeof setTaskStatus>[1]} */
    const change = { status: stays ? task.status : to };
    if (note.trim() !== "") change.note = note.trim();
    if (measured && progress !== undefined) change.progress = progress;
    if (closes && result.trim() !== "") change.result = parse(result).value;
    await setTaskStatus(task.id, change);
    setNote("");
    setPercent("");
    changed();
  };
  const title = stays ? (measured && progress !== undefined ? "Note progress" : "Add note") : `Move to ${wordOf(to)}`;
  return html`<div class="move">
    ${moves.length > 0 && html`<${Choice} label="Move to" value=${to} set=${setTo} options=${[["", `stay ${wordOf(task.status)}`], ...moves.map((status) => [status, wordOf(status)])]} />`}
    <div class="move-fields">
      <label>Note <input value=${note} maxlength="4000" placeholder="optional, for the history" autocomplete="off" onInput=${(/** @type {any} */ event) => setNote(event.target.value)} /></label>
      ${measured && html`<label class="move-percent">Progress, % <input type="number" min="0" max="100" step="1" value=${percent} placeholder=${task.progress ?? "0–100"} aria-invalid=${bad} onInput=${(/** @type {any} */ event) => setPercent(event.target.value)} /></label>`}
    </div>
    ${
      closes &&
      html`<label>Result <textarea rows="3" value=${result} placeholder="optional: JSON or text" spellcheck=${false} onInput=${(/** @type {any} */ event) => setResult(event.target.value)}></textarea>
      <span class="quiet" role="status">${result.trim() !== "" && (parse(result).json ? "Kept as JSON" : "Kept as text")}</span></label>`
    }
    <div class="bar"><${Button} kind=${stays ? "" : "main"} what=${`Could not change task ${task.id}`} disabled=${nothing || bad} run=${run}>${title}</${Button}><span class="grow"></span>${children}</div>
  </div>`;
}

/** What somebody typed, as JSON where it is some. @param {string} text @returns {{json: boolean, value: unknown}} */
function parse(text) {
  try {
    return { json: true, value: JSON.parse(text) };
  } catch {
    return { json: false, value: text.trim() };
  }
}
