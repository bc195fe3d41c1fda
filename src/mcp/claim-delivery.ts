import { toRfc3339 } from '#core/clock.ts';
import type { KeepSecrets, KeptSecrets } from '#core/delivery.ts';
import type { Dispatch } from '#core/dispatch.ts';
import { keyFingerprint, redactedUrl } from '#core/secret-view.ts';
import { type DeliveryFacts, type SecretDelivery, secretFieldsOf } from './backend.ts';

/**
 * Delivery over HTTP: secrets are kept on the server in the commit of what made them, and the result holds a handle that
 * `chancery claim` turns into a file or into the environment of a command.
 */
export interface ClaimDelivery {
  /** To be called in place of the one that was given: it keeps the secrets of each answer. */
  readonly dispatch: Dispatch;
  readonly delivery: SecretDelivery;
}

export function createClaimDelivery(dispatch: Dispatch, keepSecrets: KeepSecrets): ClaimDelivery {
  const keptBy = new WeakMap<object, KeptSecrets>();
  return {
    async dispatch(call) {
      const reply = await dispatch({ ...call, keepSecrets });
      if (reply.kept !== undefined) keptBy.set(reply.output as object, reply.kept);
      return reply;
    },
    delivery: {
      async deliver(operation, output) {
        const kept = keptBy.get(output);
        if (kept === undefined) throw new Error(`the secrets of ${operation.id} were not kept`);
        const fields = secretFieldsOf(operation, output);
        const rest = Object.fromEntries(Object.entries(output).filter(([field]) => !fields.includes(field)));
        return { output: rest, delivery: describe(fields, kept, output) };
      },
    },
  };
}

function describe(fields: string[], kept: KeptSecrets, output: Readonly<Record<string, unknown>>): DeliveryFacts {
  const url = redactedUrl(output['connection_url']);
  const key = keyFingerprint(output['private_key']);
  return {
    method: 'claim',
    fields,
    claim: kept.handle,
    expires_at: toRfc3339(kept.expiresAt),
    // The handle stands in `claim` and nowhere else, and reaches the command by stdin, so that no list of processes has it.
    next: 'Where the secrets are needed, run `chancery claim - --out FILE`, or `chancery claim - -- COMMAND`, with the value of claim on its stdin and a token of the same principal. It works once; then, and after expires_at, they are gone.',
    ...(key === undefined ? {} : { fingerprints: { private_key: key } }),
    ...(url === undefined ? {} : { redacted_url: url }),
  };
}
