import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Door, keptFolder, openFuzzer } from './fuzz.ts';

/** Rows of the table: file, status, and the code of the problem. */
function rows(): Map<string, string> {
  const table = readFileSync(join(keptFolder, 'README.md'), 'utf8');
  return new Map(
    [...table.matchAll(/^\| `([^`]+)` \| (\d{3}(?: [a-z_]+)?) \| .+ \|$/gm)].map(([, file, answer]) => [
      file ?? '',
      answer ?? '',
    ]),
  );
}

test('every kept input of the fuzzer is described, and has the answer that stands there', async (context) => {
  const expected = rows();
  const files = readdirSync(keptFolder).filter((file) => file !== 'README.md');
  assert.deepEqual(files.sort(), [...expected.keys()].sort());
  const { knock } = await openFuzzer(context);
  for (const file of files) {
    const { status, body } = await knock(file.split('-')[0] as Door, readFileSync(join(keptFolder, file)));
    assert.equal([status, ...(status >= 400 ? [body.code] : [])].join(' '), expected.get(file), file);
  }
});
