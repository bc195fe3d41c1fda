import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import type { Sealer } from '#seal/sealer.ts';
import { sealedSetting } from '#seal/settings.ts';
import type { Store } from '#storage/store.ts';
import { checkpointOrigin } from './checkpoint.ts';
import { type NoteSigner, noteSigner } from './note.ts';

const settingName = 'audit_checkpoint_key';

export interface CheckpointKeyDeps {
  readonly store: Pick<Store, 'first' | 'commit'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly installationId: string;
}

/** The Ed25519 key that signs checkpoints: made on first use, sealed in the settings. */
export async function openCheckpointKey(deps: CheckpointKeyDeps): Promise<NoteSigner> {
  const pkcs8 = await sealedSetting(deps, settingName, makeKey);
  try {
    const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    return noteSigner(checkpointOrigin(deps.installationId), privateKey);
  } finally {
    pkcs8.fill(0);
  }
}

function makeKey(): Buffer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return privateKey.export({ format: 'der', type: 'pkcs8' });
}
