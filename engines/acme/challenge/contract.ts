/**
 * How the server asks whether an applicant controls a name (RFC 8555 §8, RFC 8737, RFC 8738): the network side of a
 * challenge, without any state. Who calls it keeps the state, decides when to try again, and writes the result.
 */

/** Every challenge type that can be validated. */
export const challengeTypes = ['http-01', 'dns-01', 'tls-alpn-01'] as const;

export type ChallengeType = (typeof challengeTypes)[number];

/** As in an order: a DNS name in lower case and A-labels without `*.`, or an address in the text form of RFC 5952. */
export interface Identifier {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

export interface ChallengeAttempt {
  readonly type: ChallengeType;
  readonly identifier: Identifier;
  /** base64url, as in the challenge object. */
  readonly token: string;
  /** RFC 8555 §8.1: token, a dot, the thumbprint of the account key. */
  readonly keyAuthorization: string;
  /**
   * CIDR ranges that are not public and that may be connected to nevertheless: `10.0.0.0/8`. Empty: public addresses
   * only. Loopback, link-local and metadata addresses are as private as any.
   */
  readonly allowedAddressRanges: readonly string[];
}

/** Error types of RFC 8555 §6.7 that a validation may end with, without the urn prefix. */
export type ChallengeProblemType =
  | 'connection'
  | 'dns'
  | 'tls'
  | 'incorrectResponse'
  | 'unauthorized'
  | 'caa'
  | 'rejectedIdentifier'
  | 'malformed'
  | 'serverInternal';

export interface ChallengeProblem {
  readonly type: ChallengeProblemType;
  /** One sentence for whoever runs the client; never holds what an inner address answered beyond the expected length. */
  readonly detail: string;
}

export type ChallengeResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly problem: ChallengeProblem;
      /** Whether the same attempt may succeed a moment later: false only where the answer is final, as a forbidden address. */
      readonly retry: boolean;
    };

export interface CaaAttempt {
  /** DNS names only; addresses have no CAA. */
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  /** The names by which a CAA record may name this CA (RFC 8659 §4.2). */
  readonly issuerDomains: readonly string[];
  /** For `validationmethods` (RFC 8657 §4); absent where the name was authorized without a challenge. */
  readonly challengeType?: ChallengeType | undefined;
  /** For `accounturi` (RFC 8657 §3). */
  readonly accountUrl: string;
}

export interface ChallengeValidator {
  /** One attempt, bounded in time, hops and bytes, and ended by the signal. Never rejects. */
  validate(attempt: ChallengeAttempt, signal?: AbortSignal): Promise<ChallengeResult>;
  /** Whether CAA records forbid issuance (RFC 8659 §3); a lookup that fails forbids. Never rejects. */
  checkCaa(attempt: CaaAttempt, signal?: AbortSignal): Promise<ChallengeResult>;
  /** Ends attempts that are under way. */
  close(): Promise<void>;
}
