import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { ChallengeAttempt, ChallengeResult, ChallengeType, ChallengeValidator } from '#acme/challenge/contract.ts';
import { createChallengeValidator } from '#acme/challenge/validator.ts';
import { createPerspectives } from '#acme/dns/perspective.ts';
import { type DnsServerForTests, startDnsServer } from '#test/dns-server.ts';

export const token = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
export const keyAuthorization = `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
export const loopback = ['127.0.0.0/8', '::1'];

export interface ChallengeWorld {
  readonly dns: DnsServerForTests;
  validator(given?: {
    http?: number;
    tls?: number;
    timeoutMs?: number;
    more?: readonly DnsServerForTests[];
  }): ChallengeValidator;
}

/** A DNS server that knows `a.test` at 127.0.0.1, and validators that ask it. */
export async function challengeWorld(context: TestContext): Promise<ChallengeWorld> {
  const dns = await startDnsServer();
  context.after(() => dns.close());
  dns.add('a.test', { type: 'A', value: '127.0.0.1' });
  return {
    dns,
    validator({ http = 9, tls = 9, timeoutMs = 4000, more = [] } = {}) {
      const validator = createChallengeValidator({
        perspectives: createPerspectives([dns, ...more]),
        ports: { http, tls },
        timeoutMs,
      });
      context.after(() => validator.close());
      return validator;
    },
  };
}

export function attempt(type: ChallengeType, value = 'a.test', ranges: readonly string[] = loopback): ChallengeAttempt {
  const isAddress = /^[\d.]+$|:/.test(value);
  return {
    type,
    identifier: { type: isAddress ? 'ip' : 'dns', value },
    token,
    keyAuthorization,
    allowedAddressRanges: ranges,
  };
}

const sentence = /^[A-Z].*\.$/s;

/** `ok`, or the type of the problem with `final` where a retry makes no sense. */
export function verdict(result: ChallengeResult): string {
  if (result.ok) return 'ok';
  const { type, detail } = result.problem;
  assert.match(detail, sentence);
  return `${type}${result.retry ? '' : ' final'}`;
}

export async function serveHttp(context: TestContext, listener: RequestListener, host = '127.0.0.1'): Promise<number> {
  const server: Server = createServer(listener).listen(0, host);
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
