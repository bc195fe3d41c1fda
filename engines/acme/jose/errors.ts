/**
 * What is wrong with a JWS or a key, in the terms of RFC 8555 §6.7: `badPublicKey` and `badSignatureAlgorithm` have a
 * type of their own there, everything else is `malformed`.
 */
export type JoseFault = 'malformed' | 'badPublicKey' | 'badSignatureAlgorithm';

/** The message is one sentence and holds nothing of the input but names of members and algorithms. */
export class JoseError extends Error {
  readonly fault: JoseFault;

  constructor(fault: JoseFault, message: string) {
    super(message);
    this.name = 'JoseError';
    this.fault = fault;
  }
}
