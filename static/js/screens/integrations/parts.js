/**
 * The wire of the integrations.
 * @typedef {{name: string, scopes: string[], targets: string[], channels: string[], callbackUrl: string | null, signed: boolean,
 *   counts: {accepted: number, deduped: number, resolved: number, refused: number, rateLimited: number}, countsSince: string,
 *   tasks: number, pendingCallbacks: number, deadCallbacks: number, lastEventAt: string | null}} Integration
 */
export {};
