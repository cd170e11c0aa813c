/** What the screen's address asks for. */
import { Collection } from "../../core/data.js";
import { address, filters, go, route } from "../../core/router.js";

/** @typedef {import("../../core/types.js").Delivery} Delivery */

export const STATES = /** @type {const} */ (["pending", "delivered", "dead"]);
const ID = /^[1-9]\d{0,15}$/;
export const where = filters({
  state: /^(pending|delivered|dead)$/,
  integration: /^[^\0]{1,128}$/,
  task: ID,
  callback: ID,
});

/** Deliveries that the page has met. @type {Collection<Delivery>} */
export const deliveries = new Collection((delivery) => delivery.id);

/** The one whose deliveries are shown: as the path has it, else as the filter. */
export const chosenName = () => route.value.id || where.read().integration || undefined;

/** Show one's deliveries, or all. Where the path names one already, the path changes. @param {string} name */
export function choose(name) {
  const { state, task } = where.read();
  if (route.value.id === "") where.set({ integration: name || undefined, callback: undefined });
  else go(address("integrations", name, { state, task }));
}

/** The address of a delivery, or of none, under the filters as they are. @param {number | undefined} id */
export const deliveryAddress = (id) =>
  address("integrations", route.value.id, { ...where.read(), callback: id === undefined ? undefined : String(id) });
