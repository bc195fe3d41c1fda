/**
 * DER as a tree that can be damaged in one place at a time. Written for attacks, apart from the reader and writer under
 * test: it takes what it is given and writes what it is told, right or wrong.
 */
export interface Node {
  readonly tag: number;
  /** Octets of a primitive, or the elements of a constructed one. */
  readonly content: Buffer | readonly Node[];
}

export function seq(...content: readonly Node[]): Node {
  return { tag: 0x30, content };
}

export function set(...content: readonly Node[]): Node {
  return { tag: 0x31, content };
}

export function leaf(tag: number, content: Uint8Array | string): Node {
  return { tag, content: typeof content === 'string' ? Buffer.from(content, 'utf8') : Buffer.from(content) };
}

/** Any tag around elements: 0xa0 for [0]. */
export function wrap(tag: number, ...content: readonly Node[]): Node {
  return { tag, content };
}

export function int(value: bigint | number): Node {
  let hex = BigInt(value).toString(16);
  if (hex.length % 2 === 1) hex = `0${hex}`;
  if (Number.parseInt(hex.slice(0, 2), 16) >= 0x80) hex = `00${hex}`;
  return leaf(0x02, Buffer.from(hex, 'hex'));
}

export function oid(dotted: string): Node {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const all = [first * 40 + second, ...rest].flatMap(base128);
  return leaf(0x06, Uint8Array.from(all));
}

function base128(value: number): number[] {
  const digits = [value % 128];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left % 128) | 0x80);
  return digits;
}

export function nul(): Node {
  return leaf(0x05, '');
}

export function bits(content: Uint8Array): Node {
  return leaf(0x03, Buffer.concat([Buffer.of(0), content]));
}

export function octets(content: Node | Uint8Array): Node {
  return leaf(0x04, content instanceof Uint8Array ? content : encode(content));
}

export function encode(node: Node): Buffer {
  const body = Buffer.isBuffer(node.content) ? node.content : Buffer.concat((node.content as Node[]).map(encode));
  return Buffer.concat([Buffer.of(node.tag), lengthOctets(body.length), body]);
}

function lengthOctets(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex');
  return Buffer.concat([Buffer.of(0x80 | bytes.length), bytes]);
}

/** Reads well-formed DER with one-octet tags. Throws RangeError for anything else. */
export function parse(der: Buffer): Node {
  const { node, end } = readAt(der, 0);
  if (end !== der.length) throw new RangeError('octets after the element');
  return node;
}

function readAt(der: Buffer, start: number): { node: Node; end: number } {
  const tag = der.readUInt8(start);
  let at = start + 2;
  let length = der.readUInt8(start + 1);
  if (length > 0x80) {
    const size = length & 0x7f;
    length = der.readUIntBE(at, size);
    at += size;
  }
  const end = at + length;
  if (end > der.length) throw new RangeError('cut off');
  if ((tag & 0x20) === 0) return { node: { tag, content: der.subarray(at, end) }, end };
  const content: Node[] = [];
  while (at < end) {
    const inner = readAt(der, at);
    content.push(inner.node);
    at = inner.end;
  }
  return { node: { tag, content }, end };
}

/** Where a node stands: the index at each level. */
export type Path = readonly number[];

/** Every node of a tree, the root first. */
export function paths(node: Node, path: Path = []): Path[] {
  if (Buffer.isBuffer(node.content)) return [path];
  return [path, ...(node.content as Node[]).flatMap((inner, index) => paths(inner, [...path, index]))];
}

/** One way to damage one element; gets the element and answers the octets that take its place. */
export type Damage = (node: Node) => Buffer;

/** The octets of a tree in which the element at `path` was replaced by whatever `damage` makes of it. */
export function encodeDamaged(node: Node, path: Path, damage: Damage): Buffer {
  const [index, ...rest] = path;
  if (index === undefined) return damage(node);
  const inner = (node.content as readonly Node[]).map((each, at) =>
    at === index ? encodeDamaged(each, rest, damage) : encode(each),
  );
  const body = Buffer.concat(inner);
  return Buffer.concat([Buffer.of(node.tag), lengthOctets(body.length), body]);
}

const body = (node: Node): Buffer => {
  const whole = encode(node);
  return whole.subarray(2 + ((whole[1] as number) > 0x80 ? (whole[1] as number) & 0x7f : 0));
};
const withHeader = (node: Node, header: Uint8Array): Buffer => Buffer.concat([Buffer.of(node.tag), header, body(node)]);
const retagged =
  (tag: number): Damage =>
  (node) =>
    Buffer.concat([Buffer.of(tag), encode(node).subarray(1)]);

/** The structure-aware damages: what fuzzers of ASN.1 find most with (research: step-ca CVE-2026-40097 was an empty SEQUENCE). */
export const damages: Readonly<Record<string, Damage>> = {
  empty: (node) => Buffer.of(node.tag, 0),
  'length + 1': (node) => withHeader(node, lengthOctets(body(node).length + 1)),
  'length - 1': (node) => withHeader(node, lengthOctets(Math.max(0, body(node).length - 1))),
  'length of 4 GiB': (node) => withHeader(node, Buffer.of(0x84, 0xff, 0xff, 0xff, 0xff)),
  'length of 127 octets': (node) => withHeader(node, Buffer.concat([Buffer.of(0xff), Buffer.alloc(126, 0xff)])),
  'indefinite length': (node) => Buffer.concat([withHeader(node, Buffer.of(0x80)), Buffer.of(0, 0)]),
  'long form of a short length': (node) => {
    const { length } = body(node);
    return withHeader(node, Buffer.of(0x82, length >> 8, length & 0xff));
  },
  'first half': (node) => encode(node).subarray(0, Math.ceil(encode(node).length / 2)),
  gone: () => Buffer.alloc(0),
  twice: (node) => Buffer.concat([encode(node), encode(node)]),
  'with an element behind': (node) => Buffer.concat([encode(node), Buffer.of(0x05, 0x00)]),
  'nested in itself': (node) => encode(wrap(node.tag | 0x20, { tag: node.tag, content: body(node) })),
  'as SEQUENCE': retagged(0x30),
  'as SET': retagged(0x31),
  'as INTEGER': retagged(0x02),
  'as BIT STRING': retagged(0x03),
  'as OCTET STRING': retagged(0x04),
  'as NULL': retagged(0x05),
  'as OBJECT IDENTIFIER': retagged(0x06),
  'as UTF8String': retagged(0x0c),
  'as BMPString': retagged(0x1e),
  'as [0]': retagged(0xa0),
  'with a long tag': retagged(0x1f),
  'filled with ff': (node) => encode({ tag: node.tag & ~0x20, content: Buffer.alloc(body(node).length, 0xff) }),
  'filled with 00': (node) => encode({ tag: node.tag & ~0x20, content: Buffer.alloc(body(node).length) }),
};
