/** What cards, rows and the drawer are made of. */
import { html } from "../../lib.js";
import { number } from "../../core/format.js";
import { Chip, Icon } from "../../ui/bits.js";

/** How far it is, in words and as a bar. @param {{percent: number}} props */
export const Progress = ({ percent }) =>
  html`<span class="progress"><span class="progress-bar" aria-hidden="true"><span style=${{ inlineSize: `${percent}%` }}></span></span>${percent} %<span class="unseen"> done</span></span>`;

/** @param {{count: number}} props */
export const Seen = ({ count }) =>
  count > 1 && html`<${Chip} title=${`${number(count)} events told of it`}>seen ${number(count)}×</${Chip}>`;

export const Linked = () =>
  html`<span class="linked" title="Has a link to the outside"><${Icon} name="external-link" /><span class="unseen">has a link</span></span>`;
