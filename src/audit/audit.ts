import { join } from 'node:path';
import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine, Job } from '#core/engine.ts';
import { createSystemCaller } from '#core/system-call.ts';
import { type BoundOperation, bind } from '#core/operation.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { Finding } from './chain.ts';
import { type CheckpointFile, checkpointFile } from './checkpoint-file.ts';
import { openCheckpointKey } from './checkpoint-key.ts';
import { openCursors } from './cursor.ts';
import { checkContinuity } from './head.ts';
import { auditOperations, getCheckpoint } from './operations.ts';

export interface AuditOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly dispatch: Dispatch;
  /** From `installationId` (seal/settings.ts). */
  readonly installationId: string;
  /** `checkpoints.log` is kept here. */
  readonly dataFolder: string;
  /** Gets every hourly checkpoint, for keeping elsewhere; pino fits. */
  readonly log: { info(facts: object, message: string): void };
}

export interface Audit extends Engine {
  /** `name+hash+base64`: what verifies the checkpoints of this installation. */
  readonly verifierKey: string;
  /** What speaks against the log being the continuation of the last local checkpoint: a store that was rolled back. */
  checkContinuity(): Promise<Finding | undefined>;
}

/** The operations on the audit log, and the job that writes checkpoints. Makes the checkpoint key when there is none. */
export async function openAudit(options: AuditOptions): Promise<Audit> {
  const { store, clock } = options;
  const signer = await openCheckpointKey(options);
  const file = checkpointFile(join(options.dataFolder, 'checkpoints.log'));
  const deps = { store, clock, signer, file, cursors: await openCursors(options) };
  const operations = bind(auditOperations, deps);
  return {
    name: 'audit',
    operations,
    publicRoutes: [],
    jobs: [checkpointJob(options, operations, file)],
    sealedColumns: [],
    namespacedTables: [],
    close: async () => undefined,
    verifierKey: signer.verifier.text,
    checkContinuity: () => checkContinuity(deps),
  };
}

const jobName = 'audit.write_checkpoint';

function checkpointJob(options: AuditOptions, operations: readonly BoundOperation[], file: CheckpointFile): Job {
  const { dispatch, clock } = options;
  const call = createSystemCaller({ dispatch, operations, clock, job: jobName });
  return {
    name: jobName,
    schedule: '0 * * * *',
    async run() {
      const { checkpoint, verifier_key } = await call<{ checkpoint: string; verifier_key: string }>(
        getCheckpoint.id,
        {},
      );
      await file.append(checkpoint);
      options.log.info({ checkpoint, verifier_key }, 'audit checkpoint');
    },
  };
}
