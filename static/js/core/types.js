/**
 * The wire, as far as the page reads it; docs/http-api.md tells what each field means.
 *
 * @typedef {{name: string, armed: boolean, lastProvedAt: string | null}} WakePath
 * @typedef {{id: string, labels: string[], tags: string[], capabilities: string[], status: "online"|"idle"|"busy"|"stale"|"offline",
 *   ready: boolean, rig: string | null, project: string | null, host: string | null, version: string | null, meta: Record<string, unknown>,
 *   wakePaths: WakePath[], promptChars: number, registeredAt: string, lastSeenAt: string, unread: number}} Agent
 * @typedef {{id: number, from: string, to: string, subject: string | null, body: string, channel: string | null, kind: "message"|"task"|"system",
 *   threadId: number, replyTo: number | null, claimable: boolean, claimedBy: string | null, claimedAt: string | null,
 *   priority: "low"|"normal"|"high"|"urgent", meta: Record<string, unknown>, taskId: number | null, verified: boolean, createdAt: string,
 *   expiresAt: string | null, read?: boolean, queued?: boolean, recipients?: number}} Message
 * @typedef {"open"|"claimed"|"in_progress"|"blocked"|"done"|"failed"|"cancelled"} TaskStatus
 * @typedef {"info"|"warning"|"error"|"critical"} Severity
 * @typedef {{id: number, source: string, type: string, severity: Severity, dedupeKey: string | null, title: string, body: string | null,
 *   target: string, channel: string, externalUrl: string | null, metadata: Record<string, unknown>, status: TaskStatus, result: unknown,
 *   progress: number | null, claimedBy: string | null, messageId: number, occurrenceCount: number, firstSeenAt: string,
 *   lastSeenAt: string, createdAt: string, updatedAt: string, closedAt: string | null}} Task
 * @typedef {{id: number, event: string, at: string, by: string, note: string | null, occurrence: Record<string, unknown> | null, status: TaskStatus,
 *   severity: Severity, claimedBy: string | null, progress: number | null, result: unknown, occurrenceCount: number}} TaskMoment
 * @typedef {{number: number, at: string, durationMs: number, status: number | null, error: string | null, response: string | null}} Attempt
 * @typedef {{id: number, integration: string, event: string, taskId: number, webhookId: string, state: "pending"|"delivered"|"dead",
 *   createdAt: string, nextAttemptAt: string | null, deliveredAt: string | null, attempts: Attempt[]}} Delivery
 * @typedef {{agentId: string, state: "queued"|"offered"|"delivered"|"read"|"claimed", queuedAt: string, offeredAt: string | null,
 *   offeredBy: string | null, deliveredAt: string | null, deliveredBy: string | null, readAt: string | null, claimedAt: string | null,
 *   lostAt: string | null, lostTo: string | null}} Receipt
 * @typedef {{version: string, instance: string, uptimeS: number, agents: Record<string, number>, messages: number, claimableOpen: number,
 *   unreadHuman: number, tasks: Record<string, number>, callbacks: {pending: number, dead: number},
 *   live: {sse: number, websocket: number, longPoll: number}, eventSeq: number, eventFloor: number, databaseBytes: number}} Stats
 * @typedef {{id: number, subject: string | null, channel: string | null, from: string, to: string, taskId: number | null, count: number,
 *   participants: string[], startedAt: string, unread: number, last: Message}} Thread
 * @typedef {{from: string, to: string, minutes: number, messages: number[], claims: number[], lostClaims: number[]}} Activity
 * @typedef {{messages: Message[], blockedTasks: Task[], releasedWork: Message[], deadCallbacks: Delivery[],
 *   counts: {messages: number, blockedTasks: number, releasedWork: number, deadCallbacks: number}}} Attention
 */
export {};
