import { z } from 'zod';
import { formatDuration } from '#core/duration.ts';
import { compileRole } from './role-compile.ts';
import type { Role } from './role-schema.ts';
import { roleFields } from './role-schema.ts';

const about = (field: keyof typeof roleFields) => roleFields[field].description ?? '';
const text = (field: keyof typeof roleFields) => z.string().describe(about(field));
const list = (field: keyof typeof roleFields) => z.array(z.string()).describe(about(field));
const flag = (field: keyof typeof roleFields) => z.boolean().describe(about(field));

/** A role as it is shown. */
export const roleOutput = z.strictObject({
  name: text('name'),
  authority: text('authority'),
  description: text('description'),
  allowed_domains: list('allowed_domains'),
  allow_bare_domains: flag('allow_bare_domains'),
  allow_subdomains: flag('allow_subdomains'),
  allow_wildcards: flag('allow_wildcards'),
  allowed_ip_ranges: list('allowed_ip_ranges'),
  allowed_uris: list('allowed_uris'),
  allowed_emails: list('allowed_emails'),
  allowed_common_names: list('allowed_common_names'),
  require_common_name: flag('require_common_name'),
  key_types: list('key_types'),
  require_csr: flag('require_csr'),
  key_usages: list('key_usages'),
  extended_key_usages: list('extended_key_usages'),
  policy_oids: list('policy_oids'),
  default_ttl: text('default_ttl'),
  max_ttl: text('max_ttl'),
  not_before_backdate: text('not_before_backdate'),
  max_per_hour: z.number().int().describe(about('max_per_hour')).optional(),
  max_valid: z.number().int().describe(about('max_valid')).optional(),
  organization: text('organization').optional(),
  organizational_unit: text('organizational_unit').optional(),
  country: text('country').optional(),
  locality: text('locality').optional(),
  province: text('province').optional(),
  max_names: z.number().int().describe(about('max_names')),
  short_lived: flag('short_lived'),
  web_pki: flag('web_pki'),
});
export type RoleOutput = z.output<typeof roleOutput>;

/** The role with its durations as text; what it shows can be sent back as it is. */
export function viewRole(role: Role): RoleOutput {
  return {
    ...role,
    default_ttl: formatDuration(compileRole(role).defaultTtl),
    max_ttl: formatDuration(role.max_ttl),
    not_before_backdate: formatDuration(role.not_before_backdate),
  };
}
