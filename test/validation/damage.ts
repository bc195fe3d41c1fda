/** Damage to DER that knows where its elements are. Written apart from the reader that it tests. */

export interface Damaged {
  readonly der: Buffer;
  readonly what: string;
}

interface Element {
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
  readonly tag: number;
  readonly parent: Element | undefined;
}

/** Every element, also those inside of OCTET STRINGs that hold DER, parents before children. */
function elementsOf(der: Buffer): Element[] {
  const found: Element[] = [];
  walk(der, 0, der.length, undefined, found);
  return found;
}

function walk(der: Buffer, from: number, to: number, parent: Element | undefined, found: Element[]): boolean {
  for (let at = from; at < to; ) {
    const element = elementAt(der, at, to, parent);
    if (element === undefined) return false;
    found.push(element);
    const inside: Element[] = [];
    const mayHoldMore = (element.tag & 0x20) !== 0 || element.tag === 0x04;
    if (mayHoldMore && walk(der, element.contentStart, element.end, element, inside)) found.push(...inside);
    at = element.end;
  }
  return true;
}

function elementAt(der: Buffer, start: number, limit: number, parent: Element | undefined): Element | undefined {
  const first = der[start + 1];
  if (first === undefined || start + 2 > limit) return undefined;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  if (octets > 3 || start + 2 + octets > limit) return undefined;
  const length = octets === 0 ? first : der.readUIntBE(start + 2, octets);
  const contentStart = start + 2 + octets;
  if (contentStart + length > limit) return undefined;
  return { start, contentStart, end: contentStart + length, tag: der[start] ?? 0, parent };
}

function lengthOctets(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  return length < 0x100 ? Buffer.of(0x81, length) : Buffer.of(0x82, length >> 8, length & 0xff);
}

function header(tag: number, length: number): Buffer {
  return Buffer.concat([Buffer.of(tag), lengthOctets(length)]);
}

/** Puts `bytes` in the place of `element`, and sets the lengths of everything around it right. */
function replace(der: Buffer, element: Element, bytes: Buffer): Buffer {
  const { parent } = element;
  if (parent === undefined) return Buffer.concat([der.subarray(0, element.start), bytes, der.subarray(element.end)]);
  const content = Buffer.concat([
    der.subarray(parent.contentStart, element.start),
    bytes,
    der.subarray(element.end, parent.end),
  ]);
  return replace(der, parent, Buffer.concat([header(parent.tag, content.length), content]));
}

type Damage = (tag: number, content: Buffer, whole: Buffer) => Buffer;

const kinds: Readonly<Record<string, Damage>> = {
  emptied: (tag) => header(tag, 0),
  'left out': () => Buffer.alloc(0),
  doubled: (_, __, whole) => Buffer.concat([whole, whole]),
  'a length one too large': (tag, content) => Buffer.concat([header(tag, content.length + 1), content]),
  'a length one too small': (tag, content) => Buffer.concat([header(tag, Math.max(0, content.length - 1)), content]),
  'an octet after the content': (tag, content) =>
    Buffer.concat([header(tag, content.length + 1), content, Buffer.of(0)]),
  'an octet after the element': (_, __, whole) => Buffer.concat([whole, Buffer.of(0)]),
  'a NULL after the content': (tag, content) =>
    Buffer.concat([header(tag, content.length + 2), content, Buffer.of(5, 0)]),
  'the last octet cut off': (tag, content) =>
    Buffer.concat([header(tag, Math.max(0, content.length - 1)), content.subarray(0, -1)]),
  'an indefinite length': (tag, content) => Buffer.concat([Buffer.of(tag, 0x80), content, Buffer.of(0, 0)]),
  'a length that is not minimal': (tag, content) =>
    Buffer.concat([Buffer.of(tag, 0x84, 0, 0, content.length >> 8, content.length & 0xff), content]),
  'a length of four gigabytes': (tag, content) => Buffer.concat([Buffer.of(tag, 0x84, 255, 255, 255, 255), content]),
  'the tag of another form': (tag, content) => Buffer.concat([header(tag ^ 0x20, content.length), content]),
  'the tag of another class': (tag, content) => Buffer.concat([header(tag ^ 0x80, content.length), content]),
  'a tag of many octets': (_, content) =>
    Buffer.concat([Buffer.of(0x3f, 0xff, 0xff, 0x7f), lengthOctets(content.length), content]),
  'wrapped once more': (_, __, whole) => Buffer.concat([header(0x30, whole.length), whole]),
};

/** Every damage to every element. */
export function* damages(der: Buffer): Generator<Damaged> {
  for (const element of elementsOf(der)) {
    const content = der.subarray(element.contentStart, element.end);
    const whole = der.subarray(element.start, element.end);
    for (const [what, damage] of Object.entries(kinds)) {
      const damaged = replace(der, element, damage(element.tag, content, whole));
      if (!damaged.equals(der)) yield { der: damaged, what: `${what} at ${element.start}` };
    }
  }
}

function nested(tag: number, depth: number): Buffer {
  const parts: Buffer[] = [];
  let length = 0;
  for (let level = 0; level < depth; level++) {
    const part =
      length < 0x10000 ? header(tag, length) : Buffer.of(tag, 0x83, length >> 16, (length >> 8) & 255, length & 255);
    parts.push(part);
    length += part.length;
  }
  return Buffer.concat(parts.toReversed());
}

function wide(item: Buffer, count: number): Buffer {
  const content = Buffer.concat(Array.from({ length: count }, () => item));
  const { length } = content;
  return Buffer.concat([Buffer.of(0x30, 0x83, length >> 16, (length >> 8) & 255, length & 255), content]);
}

/** Small inputs that ask for much: stack, memory, or endless reading. */
export function bombs(): Damaged[] {
  return [
    { der: nested(0x30, 100_000), what: '100,000 SEQUENCEs in each other' },
    { der: nested(0xa0, 50_000), what: '50,000 tags in each other' },
    { der: nested(0x24, 50_000), what: '50,000 constructed OCTET STRINGs in each other' },
    { der: Buffer.alloc(200_000, Buffer.of(0x30, 0x80)), what: '100,000 indefinite lengths in each other' },
    { der: Buffer.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff), what: 'a SEQUENCE of two gigabytes in six octets' },
    { der: Buffer.of(0x30, 0x88, 255, 255, 255, 255, 255, 255, 255, 255), what: 'a length beyond 64 bits' },
    { der: Buffer.concat([Buffer.of(0x30, 0xfe), Buffer.alloc(126, 255)]), what: 'a length of 126 octets' },
    { der: wide(Buffer.of(0x30, 0), 400_000), what: '400,000 empty SEQUENCEs' },
    { der: wide(Buffer.of(5, 0), 400_000), what: '400,000 NULLs' },
    { der: Buffer.concat([Buffer.of(0x1f), Buffer.alloc(100_000, 255)]), what: 'a tag that does not end' },
    {
      der: Buffer.concat([Buffer.of(6, 0x83, 1, 0x86, 0xa0), Buffer.alloc(100_000, 255)]),
      what: 'an arc that does not end',
    },
    { der: Buffer.alloc(0), what: 'nothing' },
  ];
}
