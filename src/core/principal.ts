/** Who is asking. Made by `auth` from a credential; a principal belongs to one namespace and never sees another. */
export interface Principal {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly kind: 'human' | 'service' | 'agent' | 'system';
  /** Names of the policies that speak for it. */
  readonly policies: readonly string[];
  /** The credential that was shown: an API key or a child token. Never the secret itself. */
  readonly credentialId: string;
  /** What a child token was narrowed to; every entry must allow, so a child is never wider than its parent. */
  readonly narrowings: readonly Narrowing[];
  /** Milliseconds; absent when the credential has no end. */
  readonly expiresAt?: number | undefined;
  /** What the token was made for; it stands for the purpose of requests that state none. */
  readonly purpose?: string | undefined;
  /** Background work for somebody: by this name what is issued is theirs. Nothing is allowed by it. */
  readonly onBehalfOf?: string | undefined;
}

/** One narrowing: the operations and resources (globs) that are left. */
export interface Narrowing {
  readonly operations: readonly string[];
  readonly resources: readonly string[];
  /** Globs of resources that are not left, whatever `resources` says; nor is what leads to them by another name. */
  readonly denied?: readonly string[] | undefined;
}
