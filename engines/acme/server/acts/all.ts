import type { AnyAct } from '#core/operation.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { acceptAccount, acceptAccountChange, acceptKeyChange } from './accounts.ts';
import { acceptAuthorization, deactivateAuthorization } from './authorizations.ts';
import { acceptChallenge, recordValidation } from './challenges.ts';
import { acceptFinalization, resumeIssuance } from './finalization.ts';
import { acceptOrder } from './orders.ts';
import { purgeServed } from './purge.ts';
import { acceptRevocation } from './revocation.ts';

/** What the server does because a client or the time asks for it; offered by no transport. */
export const serverActs: readonly AnyAct<ServerDeps>[] = [
  acceptAccount,
  acceptAccountChange,
  acceptKeyChange,
  acceptOrder,
  acceptAuthorization,
  deactivateAuthorization,
  acceptChallenge,
  recordValidation,
  acceptFinalization,
  resumeIssuance,
  acceptRevocation,
  purgeServed,
];
