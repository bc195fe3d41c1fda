import type { AnyOperation } from '#core/operation.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import {
  createAccount,
  deactivateAccount,
  deleteAccount,
  getAccount,
  listAccounts,
  updateAccount,
} from './accounts.ts';
import { deleteCertificate, revokeCertificate } from './certificate-end.ts';
import {
  downloadCertificate,
  getCertificate,
  listCertificates,
  renewCertificate,
  updateCertificate,
} from './certificates.ts';
import {
  createDnsProvider,
  deleteDnsProvider,
  getDnsProvider,
  listDnsProviders,
  updateDnsProvider,
} from './dns-providers.ts';
import { rotateAccountKey } from './key-change.ts';
import { cancelOrder, completeOrder, createOrder, getOrder, listOrders } from './orders.ts';

/** In the order in which they are shown. */
export const acmeClientOperations: readonly AnyOperation<ClientDeps>[] = [
  createAccount,
  getAccount,
  listAccounts,
  updateAccount,
  rotateAccountKey,
  deactivateAccount,
  deleteAccount,
  createOrder,
  getOrder,
  listOrders,
  completeOrder,
  cancelOrder,
  listCertificates,
  getCertificate,
  downloadCertificate,
  updateCertificate,
  renewCertificate,
  revokeCertificate,
  deleteCertificate,
  createDnsProvider,
  getDnsProvider,
  listDnsProviders,
  updateDnsProvider,
  deleteDnsProvider,
];
