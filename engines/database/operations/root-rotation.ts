import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { defineOperation } from '#core/operation.ts';
import { connectionName } from '#database/connection-schema.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { type Connection, connectionResource, readConnectionRow } from '#database/directory.ts';
import { changeAtTarget, openRotation, promote, releaseRotation, type Rotation } from '#database/rotation.ts';
import { explainFailure } from '#database/target-failure.ts';

interface Plan {
  readonly connection: Connection;
  readonly rotation: Rotation;
}

export const rotateRoot = defineOperation({
  id: 'database.rotate_root',
  title: 'Rotate the password of an administrator',
  summary:
    'Gives the administrator of a connection a new random password, which afterwards nobody but Chancery knows. Whatever happens meanwhile, the password that the server has is on record.',
  input: z.strictObject({ name: connectionName }),
  output: z.strictObject({ name: z.string(), username: z.string(), rotated_at: z.string() }),
  http: { method: 'POST', path: '/database/connections/{name}/rotate-root' },
  effect: 'mutating',
  openWorld: true,
  resource: ({ name }) => connectionResource(name),
  async intend(grant, input, deps: DatabaseDeps) {
    const connection = await readConnectionRow(deps.store, grant.namespace, input.name);
    const { rotation, changes } = await openRotation({
      sealer: deps.sealer,
      table: 'database_connections',
      row: connection.row,
      policy: undefined,
      now: grant.now,
    });
    const plan: Plan = { connection, rotation };
    return { plan, changes, audit: { username: connection.definition.username, resumed: !rotation.fresh } };
  },
  async run(grant, input, deps: DatabaseDeps, { connection, rotation }: Plan) {
    const { username } = connection.definition;
    try {
      await deps.pools.use(connection, (target) => changeAtTarget(target, { username }, rotation));
    } catch (error) {
      await releaseRotation(deps.store, rotation, error);
      throw explainFailure(error, input.name);
    }
    return {
      output: { name: input.name, username, rotated_at: toRfc3339(grant.now) },
      changes: [promote(deps.sealer, rotation, grant.now)],
      audit: { username },
    };
  },
});
