/** What an operator decides for MCP, for both transports. Each of them only narrows what the token may do. */
export interface McpSettings {
  readonly readOnly: boolean;
  /** Replace what looks like a secret, wherever it stands. */
  readonly maskValues: boolean;
  /** Globs of resources; empty: all. */
  readonly allowedPaths: readonly string[];
  /** Globs of resources; they win. */
  readonly deniedPaths: readonly string[];
  /** The only namespace that is served; null: that of the token. */
  readonly namespace: string | null;
  /** Calls per session; null: no limit of its own. */
  readonly rate: { readonly perSecond: number; readonly burst: number } | null;
  /** Secrets in results. */
  readonly reveal: boolean;
  /** `default`, `all` or areas; areas alone are also the bound of what can be called. */
  readonly toolsets: readonly string[];
  /** Origins of web pages that may call, beside the server's own. */
  readonly allowedOrigins: readonly string[];
}

export const defaultMcpSettings: McpSettings = Object.freeze({
  readOnly: false,
  maskValues: true,
  allowedPaths: [],
  deniedPaths: [],
  namespace: null,
  rate: { perSecond: 5, burst: 10 },
  reveal: false,
  toolsets: ['default'],
  allowedOrigins: [],
});

/** Whether operations of an area can be called at all under these toolsets. */
export function isAreaOpen(toolsets: readonly string[], area: string): boolean {
  return toolsets.includes('default') || toolsets.includes('all') || toolsets.includes(area);
}
