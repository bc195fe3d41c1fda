import { authorityOperations } from './authorities.ts';
import { inventoryOperations } from './inventory.ts';
import { issueOperations } from './issue.ts';
import { roleOperations } from './roles.ts';

/** Every operation of the PKI engine. */
export const pkiOperations = [...authorityOperations, ...roleOperations, ...issueOperations, ...inventoryOperations];
