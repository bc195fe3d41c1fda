/** A DER element taken apart, so that a test can break one part of it and put the rest together again soundly. */
export interface DerTree {
  tag: number;
  /** Elements inside: of constructed elements, and of OCTET STRINGs that hold DER. */
  children: DerTree[] | undefined;
  /** Content octets of elements without children. */
  content: Buffer;
}

/** Takes sound DER apart, also what OCTET STRINGs hold. */
export function parseTree(der: Buffer): DerTree {
  const [tree, end] = parseAt(der, 0);
  if (end !== der.length) throw new RangeError('trailing bytes');
  return tree;
}

function parseAt(der: Buffer, at: number): [DerTree, number] {
  const tag = der[at];
  const first = der[at + 1];
  if (tag === undefined || first === undefined) throw new RangeError('cut off');
  const size = first < 0x80 ? 0 : first & 0x7f;
  const length = size === 0 ? first : der.readUIntBE(at + 2, size);
  const start = at + 2 + size;
  const content = der.subarray(start, start + length);
  if (content.length !== length) throw new RangeError('cut off');
  return [{ tag, ...childrenOf(tag, content) }, start + length];
}

function childrenOf(tag: number, content: Buffer): Pick<DerTree, 'children' | 'content'> {
  if ((tag & 0x20) !== 0) return { children: parseAll(content), content: Buffer.alloc(0) };
  if (tag !== 0x04 || content[0] !== 0x30) return { children: undefined, content };
  try {
    return { children: parseAll(content), content: Buffer.alloc(0) };
  } catch {
    return { children: undefined, content };
  }
}

function parseAll(content: Buffer): DerTree[] {
  const children: DerTree[] = [];
  for (let at = 0; at < content.length; ) {
    const [child, end] = parseAt(content, at);
    children.push(child);
    at = end;
  }
  return children;
}

/** How the length octets of one element are written; `extra` content octets are added in length only. */
export type WriteLength = (length: number) => Buffer;

export const definiteLength: WriteLength = (length) => {
  if (length < 0x80) return Buffer.of(length);
  const hex = length.toString(16);
  const octets = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.of(0x80 | octets.length), octets]);
};

/** Puts the tree together; `lengthOf` may give one element another length encoding. */
export function encodeTree(tree: DerTree, lengthOf: (tree: DerTree) => WriteLength = () => definiteLength): Buffer {
  const children = (tree.children ?? []).map((child) => encodeTree(child, lengthOf));
  const content = Buffer.concat([tree.content, ...children]);
  return Buffer.concat([Buffer.of(tree.tag), lengthOf(tree)(content.length), content]);
}

/** The element and everything inside it. */
export function elementsOf(tree: DerTree): DerTree[] {
  return [tree, ...(tree.children ?? []).flatMap(elementsOf)];
}
