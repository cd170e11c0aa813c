/** What happened to a task, told from one moment to the next. */
import { html } from "../../lib.js";
import { readable } from "../../core/text.js";
import { Body, Code, Icon, Severity, Status, Time, Who } from "../../ui/bits.js";

/** @typedef {import("../../core/types.js").TaskMoment} Moment */

/** @param {{moments: Moment[], more: boolean}} props oldest first, as the relay has them; shown the other way round */
export const History = ({ moments, more }) =>
  html`<ol class="history" reversed>
      ${moments.map((moment, at) => html`<${Entry} key=${moment.id} moment=${moment} before=${moments[at - 1]} />`).reverse()}
    </ol>
    ${more && html`<p class="quiet">These are its first ${moments.length} moments.</p>`}`;

/** @param {{moment: Moment, before: Moment | undefined}} props */
function Entry({ moment, before }) {
  const [icon, text] = tell(moment, before);
  const news = moment.result !== null && JSON.stringify(moment.result) !== JSON.stringify(before?.result ?? null);
  const occurrence = moment.occurrence !== null && before !== undefined && Object.keys(moment.occurrence).length > 0;
  return html`<li><${Icon} name=${icon} />
    <div class="history-text"><p>${text}${moment.event !== "task.claimed" && html` <span class="quiet">· <${Who} id=${moment.by} link=${false} /></span>`}</p>
      ${moment.note !== null && html`<div class="note"><${Body} text=${moment.note} /></div>`}
      ${news && (typeof moment.result === "string" ? html`<div class="note">${readable(moment.result).slice(0, 400)}</div>` : html`<details><summary>Result</summary><${Code} text=${readable(JSON.stringify(moment.result, null, 2))} language="JSON" label="Copy this result" /></details>`)}
      ${occurrence && html`<details><summary>What the event said</summary><${Code} text=${readable(JSON.stringify(moment.occurrence, null, 2))} language="JSON" label="Copy this event" /></details>`}
    </div><${Time} at=${moment.at} /></li>`;
}

/** @param {Moment} moment @param {Moment | undefined} before @returns {[string, unknown]} icon and words */
function tell(moment, before) {
  if (before === undefined) return ["plus", "made"];
  if (moment.event === "task.claimed") return ["hand-stop", html`claimed by <${Who} id=${moment.claimedBy ?? "?"} />`];
  if (moment.status !== before.status) {
    if (moment.status === "open")
      return [
        "arrow-back-up",
        html`released by ${moment.by === before.claimedBy ? "its claimant" : moment.by === "system" ? "the relay" : readable(moment.by)}: <${Status} status="open" /> again`,
      ];
    return [
      moment.status === "done" ? "circle-check" : "arrow-narrow-right",
      html`<${Status} status=${before.status} /> to <${Status} status=${moment.status} />${progress(moment, before)}`,
    ];
  }
  if (moment.occurrenceCount > before.occurrenceCount)
    return [
      "bell",
      html`seen ${moment.occurrenceCount}×${moment.severity !== before.severity && html`, worse: <${Severity} severity=${moment.severity} />`}`,
    ];
  const percent = progress(moment, before);
  return ["pencil", percent ? html`progress${percent.replace(",", "")}` : moment.note !== null ? "note" : "changed"];
}

/** @param {Moment} moment @param {Moment} before */
const progress = (moment, before) =>
  moment.progress !== null && moment.progress !== before.progress ? `, ${moment.progress} %` : "";
