import type { AccountKeys } from '#acme/server/account-keys.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import type { Nonces } from '#acme/server/nonces.ts';
import type { Perform } from '#acme/server/perform.ts';
import type { Bucket } from '#acme/server/rates.ts';
import type { Post } from '#acme/server/post.ts';
import type { Work } from '#acme/server/work.ts';

/** What the resources of the protocol work with. */
export interface ResourceParts extends ServerDeps {
  readonly nonces: Nonces;
  readonly bucket: Bucket;
  readonly accountKeys: AccountKeys;
  readonly perform: Perform;
  readonly work: Work;
}

export interface Answer {
  readonly status: number;
  /** An object is told as JSON. */
  readonly body?: object | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** `<url>;rel="up"`, beside the one to the directory. */
  readonly links?: readonly string[];
  /** RFC 8555 §7.1: the directory alone does not point to itself. */
  readonly isDirectory?: true;
  /** Answers to POST have one in any case (RFC 8555 §6.5). */
  readonly hasNoNonce?: true;
}

export function link(url: string, relation: string): string {
  return `<${url}>;rel="${relation}"`;
}

/** For whom an act is done. */
export function contextOf({ directory, sourceAddress, requestId }: Post) {
  return { namespace: directory.namespace, sourceAddress, requestId };
}
