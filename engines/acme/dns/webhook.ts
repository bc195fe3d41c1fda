import { createHmac, randomUUID } from 'node:crypto';
import type { DnsProvider, DnsProviderDeps, SettingsOf } from './contract.ts';
import { callApi, refusedBy } from './http-call.ts';

const provider = 'The DNS webhook';

/**
 * One POST for each record, signed as Standard Webhooks has it: HMAC-SHA256 over id, time and body, so that a receiver
 * can refuse what is forged, changed or old. Any status of 2xx is success.
 */
export function createWebhook(settings: SettingsOf<'webhook'>, { outbound, now }: DnsProviderDeps): DnsProvider {
  const key = keyOf(settings.secret);
  const send = async (action: 'present' | 'remove', name: string, value: string) => {
    const id = `msg_${randomUUID()}`;
    const seconds = String(Math.floor(now() / 1000));
    const body = JSON.stringify({ action, type: 'TXT', name, value });
    const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
    const response = await callApi(outbound, provider, {
      method: 'POST',
      url: settings.url,
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': seconds,
        'webhook-signature': `v1,${signature}`,
      },
      body,
    });
    if (response.status < 200 || response.status > 299) throw refusedBy(provider, response.status, '');
  };
  return {
    kind: 'webhook',
    present: (name, value) => send('present', name, value),
    remove: (name, value) => send('remove', name, value),
  };
}

/** `whsec_` and base64, or any text as it is. */
function keyOf(secret: string): Buffer {
  return secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);
}
