import type { NewUser } from '#database/target.ts';

export const password = 'k3Jx-9fQz-77Wm-PlqA-0bVn-XcRt-5dEs';

let serial = 0;

export function newUser(more: Partial<NewUser> = {}): NewUser {
  return {
    username: `chy_tests_${(++serial).toString().padStart(4, '0')}`,
    host: '%',
    credential: { kind: 'password', password },
    expiresAt: Date.now() + 3_600_000,
    memberOf: ['app_reader'],
    statements: [],
    ...more,
  };
}

/** A revocation without custom statements. */
export const plain = { statements: [] };
