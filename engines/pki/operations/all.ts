import { authorityOperations } from './authorities.ts';
import { compromiseOperations } from './compromise.ts';
import { crlOperations } from './crls.ts';
import { importOperations } from './import.ts';
import { inventoryOperations } from './inventory.ts';
import { issueOperations } from './issue.ts';
import { ocspSignerOperations } from './ocsp-signer.ts';
import { revocationOperations } from './revocation.ts';
import { roleOperations } from './roles.ts';
import { rotationOperations } from './rotation.ts';
import { signingOperations } from './signing.ts';
import { validateOperations } from './validate.ts';

/** Every operation of the PKI engine. */
export const pkiOperations = [
  ...authorityOperations,
  ...importOperations,
  ...signingOperations,
  ...rotationOperations,
  ...roleOperations,
  ...issueOperations,
  ...inventoryOperations,
  ...revocationOperations,
  ...compromiseOperations,
  ...crlOperations,
  ...ocspSignerOperations,
  ...validateOperations,
];
