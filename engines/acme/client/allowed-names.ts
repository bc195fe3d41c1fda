import { AppError } from '#core/errors.ts';
import { parseAccount } from './account-schema.ts';
import type { Identifier } from './identifiers.ts';
import type { AccountRow } from './tables.ts';

/** The first name that may not be ordered by an account; undefined: all may. */
export function barredName(account: AccountRow, identifiers: readonly Identifier[]): string | undefined {
  const { allowed_names: allowed } = parseAccount(account);
  if (allowed.length === 0) return undefined;
  const isAllowed = ({ value }: Identifier) =>
    allowed.some((entry) => entry === value || (entry.startsWith('*.') && value.endsWith(entry.slice(1))));
  return identifiers.find((each) => !isAllowed(each))?.value;
}

/** Throws `refused` with what the account is for. */
export function assertAllowed(account: AccountRow, identifiers: readonly Identifier[]): void {
  const barred = barredName(account, identifiers);
  if (barred === undefined) return;
  throw new AppError('refused', `${barred} may not be ordered by the account ${account.name}.`, {
    hint: `It is for ${parseAccount(account).allowed_names.join(', ').slice(0, 300)}; acme.update_account changes that.`,
  });
}
