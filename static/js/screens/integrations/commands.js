/** The lines by which an outside system becomes an integration and makes its first task, with this relay's address filled in. */
import { here } from "../../ui/join-commands.js";

export const addCommand = () => "agent-relay integrations add ci --target tag:ci --channel builds";
export const addCommandWithCallbacks = () =>
  `${addCommand()} \\\n  --callback-url https://ci.example/hooks/agent-relay`;

/** @param {import("./parts.js").Integration | undefined} [integration] one that has several targets or channels has to be told which */
export function eventCommand(integration) {
  /** @type {Record<string, string>} */
  const event = { type: "build-failed", severity: "error", title: "The build of main fails" };
  if (integration !== undefined) {
    const { targets, channels } = integration;
    if (targets.length > 1 || targets[0] === "*")
      event.target = targets[0] === "*" ? "broadcast" : /** @type {string} */ (targets[0]);
    if (channels.length > 1 || channels[0] === "*")
      event.channel = channels[0] === "*" ? "alerts" : /** @type {string} */ (channels[0]);
  }
  const quoted = JSON.stringify(event).replaceAll("'", "'\\''");
  return `TOKEN=art_…   # of ${integration?.name ?? "ci"}\ncurl -s ${here()}/api/integrations/events \\\n  -H "Authorization: Bearer $TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
}
