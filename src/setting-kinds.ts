import { z } from 'zod';
import type { Rate } from '#http/settings.ts';

/** Of what settings are made: their texts, and the kinds of values that several of them take. */

/** What a reader of the configuration has to know of one setting. */
export interface SettingTexts {
  readonly about: string;
  readonly example: string;
  readonly default?: string;
  /** What applies without it, where that is no value of its own. */
  readonly otherwise?: string;
  /** Its value is shown to nobody, and taken from the environment only. */
  readonly secret?: true;
}

export function setting<Schema extends z.ZodType<unknown, string>>(
  schema: Schema,
  texts: SettingTexts & { default: string },
) {
  return schema.prefault(texts.default as z.input<Schema>).meta({ ...texts });
}

export function optionalSetting<Schema extends z.ZodType<unknown, string>>(schema: Schema, texts: SettingTexts) {
  return schema.optional().meta({ ...texts });
}

export function text(maxLength: number) {
  return z.string().min(1, 'is empty').max(maxLength, `is longer than ${maxLength} characters`);
}

/** Text that one function reads; what it does not understand is refused with its sentence. */
export function read<Value>(parse: (value: string) => Value | undefined, refusal: string) {
  return z
    .string()
    .max(4096, 'is too long')
    .transform((value, context): Value => {
      const result = parse(value.trim());
      if (result !== undefined) return result;
      context.addIssue({ code: 'custom', message: refusal });
      return z.NEVER;
    });
}

export function boolean() {
  return z
    .enum(['true', 'false', '1', '0'], { error: 'is neither true nor false' })
    .transform((value) => value === 'true' || value === '1');
}

export function rate() {
  return read<{ readonly rate: Rate | null }>((value) => {
    if (value === 'off') return { rate: null };
    const match = /^(\d{1,6}(?:\.\d{1,3})?):(\d{1,7})$/.exec(value);
    const [perSecond, burst] = [Number(match?.[1]), Number(match?.[2])];
    return perSecond > 0 && burst >= 1 ? { rate: { perSecond, burst } } : undefined;
  }, 'is neither off nor <per second>:<burst>, such as 50:200');
}

export function itemsOf(value: string): string[] {
  return value === '' ? [] : value.split(',').map((item) => item.trim());
}
