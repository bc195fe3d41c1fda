/**
 * Bounds on the work of one validation. A path of real authorities takes a hundredth of them; what goes beyond was made
 * to keep a validator busy (CVE-2023-0464, CVE-2018-16875).
 */
export const limits = {
  /** Signatures that are verified, of certificates and CRLs together. */
  signatureChecks: 100,
  /** Certificates that the search stands on. */
  nodes: 1000,
  /** Comparisons of a name with a subtree, beside one for each name that is prepared. */
  nameComparisons: 250_000,
  /** Certificates between leaf and trust anchor. */
  depth: 10,
  /** Whole paths of which policies and revocation are asked. */
  paths: 32,
  intermediates: 200,
  anchors: 500,
  crls: 50,
  ocspResponses: 20,
} as const;

type Resource = 'signatureChecks' | 'nodes' | 'nameComparisons';

/** What was taken of the bounds. */
export type Work = Readonly<Record<Resource, number>>;

/** What is left of the bounds. Mutable: one per validation. */
export interface Budget {
  /** Takes `amount`; false when that much is not left, and from then on for every call. */
  take(resource: Resource, amount?: number): boolean;
  /** The first bound that was met. */
  readonly exhausted: Resource | undefined;
  readonly spent: Work;
}

export function createBudget(): Budget {
  const left = {
    signatureChecks: limits.signatureChecks as number,
    nodes: limits.nodes as number,
    nameComparisons: limits.nameComparisons as number,
  };
  let exhausted: Resource | undefined;
  return {
    take(resource, amount = 1) {
      left[resource] -= amount;
      if (left[resource] < 0) exhausted ??= resource;
      return exhausted === undefined;
    },
    get exhausted() {
      return exhausted;
    },
    get spent() {
      const taken = (resource: Resource) => limits[resource] - Math.max(0, left[resource]);
      return {
        signatureChecks: taken('signatureChecks'),
        nodes: taken('nodes'),
        nameComparisons: taken('nameComparisons'),
      };
    },
  };
}
