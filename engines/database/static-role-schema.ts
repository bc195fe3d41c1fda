import { z } from 'zod';
import { duration } from '#core/duration.ts';
import { name } from '#core/ids.ts';
import { nextTime, parseSchedule, scheduleFault } from './cron.ts';
import { identifier, maybe, removable, withDefault, within } from './fields.ts';
import { contradiction, passwordPolicy } from './role-schema.ts';

/** What a static role is made of: a user that exists, and when its password changes. */

const year = 366 * 86_400;

const fields = {
  description: z.string().max(500).describe('What it is for'),
  rotation_period: duration
    .refine(...within(60, 10 * year))
    .describe('How often the password changes, from 1m; default 30d, unless there is a rotation_schedule'),
  rotation_schedule: z
    .string()
    .min(9)
    .max(100)
    .superRefine((text, context) => {
      const fault = scheduleFault(text);
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
    })
    .describe('When the password changes instead: five cron fields in UTC, such as 0 3 * * 6'),
  rotation_window: duration
    .refine(...within(60, year))
    .describe('How long after each time of rotation_schedule a rotation may begin; default: until the next time'),
  database: identifier.describe('Database that the connection URL names; default: that of the connection'),
  host: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[A-Za-z0-9%_.:/-]+$/, 'a host, an address or a pattern with % and _')
    .describe('MySQL: the host part of the user; default %'),
  password_policy: passwordPolicy,
} as const;

export const staticRoleName = name.describe('Name of the static role');

const roleFields = {
  name: staticRoleName,
  connection: name.describe('Name of the connection'),
  username: identifier.describe('The user, which exists already'),
  description: withDefault(fields.description, ''),
  rotation_period: maybe(fields.rotation_period),
  rotation_schedule: maybe(fields.rotation_schedule),
  rotation_window: maybe(fields.rotation_window),
  database: maybe(fields.database),
  host: maybe(fields.host),
  password_policy: maybe(fields.password_policy),
} as const;

export const staticRoleSchema = z.strictObject(roleFields).superRefine((role, context) => {
  const add = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
  if (role.rotation_period !== undefined && role.rotation_schedule !== undefined)
    add('rotation_period', 'give rotation_period or rotation_schedule, not both');
  if (role.rotation_window !== undefined && role.rotation_schedule === undefined)
    add('rotation_window', 'means something with rotation_schedule only');
});
export type StaticRole = z.output<z.ZodObject<typeof roleFields, z.core.$strict>>;

/** User and connection stay: another user is another static role. */
export const updateStaticRoleInput = z.strictObject({
  name: staticRoleName,
  description: maybe(fields.description),
  rotation_period: removable(fields.rotation_period),
  rotation_schedule: removable(fields.rotation_schedule),
  rotation_window: removable(fields.rotation_window),
  database: removable(fields.database),
  password_policy: removable(fields.password_policy),
});

/** The role after changes. Throws `invalid_request`. */
export function changeStaticRole(role: StaticRole, changes: z.output<typeof updateStaticRoleInput>): StaticRole {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  const laid = { ...role, ...Object.fromEntries(given) };
  const kept = Object.entries(laid).filter(([, value]) => value !== null && value !== undefined);
  const result = staticRoleSchema.safeParse(Object.fromEntries(kept));
  if (result.success) return result.data;
  throw contradiction(result.error.issues.map(({ path, message }) => ({ at: `/${path.join('/')}`, message })));
}

/** Seconds. */
export const defaultPeriod = 30 * 86_400;

/** When the password is to change next, having changed at `rotatedAt` (milliseconds). */
export function nextRotation(role: StaticRole, rotatedAt: number): number {
  if (role.rotation_schedule === undefined) return rotatedAt + (role.rotation_period ?? defaultPeriod) * 1000;
  const next = nextTime(parseSchedule(role.rotation_schedule), rotatedAt);
  if (next === undefined) throw new Error('a schedule that never comes due was stored');
  return next;
}

/**
 * Whether a rotation may begin at `now`: within the window after a time of the schedule that came since the last good
 * rotation (or the creation). Else the answer is the next time of the schedule.
 */
export function postponedTo(role: StaticRole, since: number, now: number): number | undefined {
  if (role.rotation_schedule === undefined || role.rotation_window === undefined) return undefined;
  const schedule = parseSchedule(role.rotation_schedule);
  const opened = nextTime(schedule, Math.max(since, now - role.rotation_window * 1000));
  return opened !== undefined && opened <= now ? undefined : nextTime(schedule, now);
}

const shortestBackoff = 10_000;
const longestBackoff = 3_600_000;

/** When a rotation is tried again that failed `attempts` times (milliseconds): 10 s doubling to an hour. */
export function retryTime(role: StaticRole, since: number, attempts: number, now: number): number {
  const again = now + Math.min(longestBackoff, shortestBackoff * 2 ** Math.min(attempts - 1, 20));
  return postponedTo(role, since, again) ?? again;
}
