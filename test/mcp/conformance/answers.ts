import { randomBytes } from 'node:crypto';
import { type CallToolResult, createRequestStateCodec } from '@modelcontextprotocol/server';

export const requestState = createRequestStateCodec<string>({ key: randomBytes(32), ttlSeconds: 60 });

export function text(words: string): CallToolResult {
  return { content: [{ type: 'text', text: words }] };
}
