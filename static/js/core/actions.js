/** What a person does to what the relay holds. Each is one call; its failure is thrown, and said by whoever asked for it. */
import { call, post } from "./api.js";
import { putTask } from "./data.js";
import { later, tellProblem, tell } from "./toasts.js";

/** @param {number} id of a callback */
export async function redeliver(id) {
  await post(`/callbacks/${id}/redeliver`);
  tell(`Callback ${id} is being tried again`);
}

/** @param {number} id of a message @param {string} agentId */
export const claim = (id, agentId) => post(`/messages/${id}/claim`, { agentId });
/** @param {number} id of a message */
export const release = (id) => post(`/messages/${id}/release`, { agentId: "human" });
/** @param {number} id of a message, which human has read */
export const markRead = (id) => post(`/messages/${id}/read`, { agentId: "human" });

/** @param {number} id of a task @param {{status: string, result?: unknown, progress?: number, note?: string}} change */
export async function setTaskStatus(id, change) {
  putTask(await call("PATCH", `/tasks/${id}/status`, { body: change }));
}

/**
 * Delete a message in a moment, until when it can be taken back.
 * @param {import("./types.js").Message} message @param {{hide: () => void, show: () => void}} view
 */
export function deleteMessage(message, { hide, show }) {
  hide();
  later(`Message ${message.id} deleted`, {
    run: (closing) => {
      call("DELETE", `/messages/${message.id}`, { keepalive: closing }).catch((error) => {
        if (error.status === 404) return; // somebody else was quicker
        show();
        tellProblem(error, `Could not delete message ${message.id}`);
      });
    },
    undo: show,
  });
}
