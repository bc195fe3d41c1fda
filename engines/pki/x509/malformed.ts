import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';

/**
 * Runs a decoder for a caller who sent the bytes: a `DerError` becomes `invalid_request`, saying what is wrong and
 * where. `what` begins the sentence: `The CSR`. Other errors pass through.
 */
export function decodeOrRefuse<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    throw new AppError('invalid_request', `${what} is malformed: ${thrown.reason} (at byte ${thrown.offset}).`, {
      hint: 'Only strict DER as RFC 5280 and RFC 2986 describe it is read; make it again with a current tool.',
      cause: thrown,
    });
  }
}
