import { parentPort } from 'node:worker_threads';
import { validateCertificate } from '#engines/pki/validation/validate.ts';
import { bombs } from './damage.ts';

/** Every bomb as certificate, intermediate, anchor, CRL and OCSP response at once, twenty times over. */
let [verdicts, valid] = [0, 0];
for (const { der } of bombs()) {
  const copies = Array.from({ length: 20 }, () => der);
  const result = await validateCertificate({
    leaf: der,
    intermediates: copies,
    anchors: copies,
    crls: copies,
    ocspResponses: copies,
    at: 0,
    profile: 'web_pki',
    checkRevocation: 'hard',
  });
  verdicts += 1;
  if (result.valid) valid += 1;
}
parentPort?.postMessage({ verdicts, valid });
