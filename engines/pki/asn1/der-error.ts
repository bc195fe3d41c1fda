/** What is not valid DER, or not the structure that was expected, and where. Callers map it to an `AppError`. */
export class DerError extends Error {
  /** Byte position in the input at which the fault was found. */
  readonly offset: number;
  /** One sentence part, without the position: `an INTEGER has a needless leading octet`. Holds no input bytes. */
  readonly reason: string;

  constructor(reason: string, offset: number) {
    super(`${reason} (at byte ${offset})`);
    this.name = 'DerError';
    this.offset = offset;
    this.reason = reason;
  }
}
