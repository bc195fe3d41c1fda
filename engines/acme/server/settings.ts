import { z } from 'zod';
import { challengeTypes } from '#acme/challenge/contract.ts';
import { duration, parseDuration } from '#core/duration.ts';
import { name } from '#core/ids.ts';
import { isAddressRange } from './identifiers.ts';

const seconds = (text: string): number => parseDuration(text) ?? 0;

const webAddress = z
  .url({ protocol: /^https?$/ })
  .max(2048)
  .refine((text) => !/[<>"\s]/.test(text), 'must not hold spaces, quotes or angle brackets');

const within = (least: string, most: string) =>
  duration.refine((value) => value >= seconds(least) && value <= seconds(most), `must be ${least} to ${most}`);

const count = (most: number) => z.coerce.number().int().min(1).max(most);

/** The settings of a directory, as they are given and kept. What is left out has its default: nothing is inherited. */
export const directorySettings = z.strictObject({
  external_account_required: z
    .boolean()
    .default(true)
    .describe('Whether new accounts need an external account key; false: anybody who reaches the server may register'),
  challenge_types: z
    .array(z.enum(challengeTypes))
    .min(1)
    .max(challengeTypes.length)
    .default([...challengeTypes])
    .describe('Which challenges are offered; default all'),
  allowed_address_ranges: z
    .array(z.string().max(64).refine(isAddressRange, 'an address or a CIDR range: 10.0.0.0/8'))
    .max(50)
    .default([])
    .describe('Addresses that are not public and that validation may connect to nevertheless; default none'),
  terms_of_service: webAddress.nullable().default(null).describe('URL of terms that clients must agree to'),
  website: webAddress.nullable().default(null).describe('URL of a page about this authority'),
  caa_identities: z
    .array(
      z
        .string()
        .max(253)
        .regex(/^[a-z0-9.-]+$/, 'a DNS name in lower case'),
    )
    .max(20)
    .default([])
    .describe('Names by which CAA records may name this authority (RFC 8659)'),
  check_caa: z
    .boolean()
    .default(false)
    .describe('Whether CAA records are looked up at validation, and may forbid it; needs caa_identities'),
  profiles: z
    .record(
      name,
      z.strictObject({
        description: z.string().min(1).max(500).describe('For people, shown in the directory'),
        role: name.describe('Role of the PKI that issues for this profile'),
      }),
    )
    .refine((profiles) => Object.keys(profiles).length <= 20, 'at most 20 profiles')
    .default({})
    .describe('Profiles that an order may choose, by name; without one the role of the directory issues'),
  authorization_lifetime: within('1m', '90d')
    .default(seconds('1d'))
    .describe('How long a name that was validated may be ordered again without a challenge; 1m to 90d, default 1d'),
  order_lifetime: within('1m', '30d')
    .default(seconds('1d'))
    .describe('How long a client has to fulfil an order; 1m to 30d, default 1d'),
  ended_accounts_kept: within('1h', '3650d')
    .default(seconds('30d'))
    .describe(
      'How long an account that was deactivated or revoked, and has no order or certificate left, is kept before it is forgotten; 1h to 3650d, default 30d',
    ),
  validation_attempts: count(10)
    .default(5)
    .describe('How often a challenge is tried, with longer and longer pauses, before it fails; 1 to 10'),
  limits: z
    .strictObject({
      accounts_per_address: count(1_000_000)
        .default(100)
        .describe('New accounts from one address (of IPv6: one /64) in an hour'),
      orders_per_account: count(1_000_000).default(5000).describe('New orders of one account in an hour'),
      failed_validations: count(10_000)
        .default(20)
        .describe('Failed authorizations of one name of one account in an hour'),
      pending_authorizations: count(1_000_000).default(5000).describe('Open authorizations of one account'),
    })
    .prefault({})
    .describe('Rate limits; beyond them clients are told to come back later'),
});

export type DirectorySettings = z.output<typeof directorySettings>;

/** Of every directory that nobody configured: closed, since an external account binding is required. */
export const defaultSettings: DirectorySettings = Object.freeze(directorySettings.parse({}));

/** What was stored under an older version has the defaults of what came later. */
export function parseSettings(text: string): DirectorySettings {
  return directorySettings.parse(JSON.parse(text));
}
