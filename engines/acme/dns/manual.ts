import type { DnsProvider } from './contract.ts';

/** Somebody else publishes the records: nothing is done, and the order waits. */
export function createManual(): DnsProvider {
  return { kind: 'manual', present: () => Promise.resolve(), remove: () => Promise.resolve() };
}

/** What whoever runs the zone has to do, in one sentence with everything in it. */
export function manualInstructions(name: string, value: string): string {
  return `Add a TXT record at ${name} with the value ${value}, beside any that are there, and complete the order once it can be seen.`;
}
