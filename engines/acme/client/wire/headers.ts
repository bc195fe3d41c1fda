import type { OutboundResponse } from '#outbound/guarded-fetch.ts';

type Headers = OutboundResponse['headers'];

export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Seconds from now (RFC 9110 §10.2.3: a number, or a date); undefined when there is none, or none that is understood. */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const text = headerOf(headers, 'retry-after')?.trim();
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

const mostLinks = 20;

/** Targets of `Link` headers with one relation (RFC 8288), resolved against the URL of the answer. */
export function linksOf(headers: Headers, relation: string, base: string): string[] {
  const text = (headerOf(headers, 'link') ?? '').slice(0, 16_384);
  const found = [...text.matchAll(/<([^<>]{1,2048})>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^",;\s]+))*)/g)];
  return found
    .filter(([, , parameters = '']) =>
      new RegExp(`;\\s*rel\\s*=\\s*(?:"(?:[^"]*\\s)?${relation}(?:\\s[^"]*)?"|${relation}(?![\\w-]))`, 'i').test(
        parameters,
      ),
    )
    .flatMap(([, target = '']) => (URL.canParse(target, base) ? [new URL(target, base).href] : []))
    .slice(0, mostLinks);
}
