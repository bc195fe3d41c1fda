import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SkillsClient } from '@modelcontextprotocol/client/ext/skills';
import { jobText } from '#mcp/prompts.ts';
import { skillName } from '#mcp/skills.ts';
import { jobs } from '#mcp/texts/jobs.ts';
import { connectHttp, connectStdio, startServer } from './world.ts';

/** The jobs as skills: the same texts, found by description and checked by digest. */

test('clients of both eras and transports list skills and read them as their digests say', async (context) => {
  const server = await startServer(context);
  for (const client of [
    await connectHttp(context, server),
    await connectHttp(context, server, { era: 'legacy' }),
    await connectStdio(context, server),
  ]) {
    const skills = new SkillsClient(client);
    assert.equal(skills.supported, true);
    const { skills: entries, invalid } = await skills.list();
    assert.deepEqual(invalid, []);
    assert.deepEqual(
      entries.map(({ frontmatter }) => frontmatter.name),
      jobs.map(skillName),
    );
    for (const [index, entry] of entries.entries()) {
      const job = jobs[index];
      assert.ok(job);
      const file = await skills.read(entry);
      assert.equal(file.verified, true);
      assert.equal(file.mimeType, 'text/markdown');
      assert.equal(file.frontmatter?.['description'], job.description);
      assert.ok(file.body?.endsWith(jobText(job)));
      for (const { name } of job.arguments) assert.match(file.body ?? '', new RegExp(`^- ${name}`, 'm'));
      assert.deepEqual((await skills.get(entry.uri)).skill, entry);
    }
  }
});

test('where nothing may be changed, skills that change something are neither listed nor read', async (context) => {
  const server = await startServer(context);
  const client = await connectHttp(context, server, { path: '/mcp/readonly' });
  const skills = new SkillsClient(client);
  const { skills: entries } = await skills.list();
  assert.deepEqual(
    entries.map(({ frontmatter }) => frontmatter.name),
    ['audit-trail', 'expiring'],
  );
  const uri = 'skill://chancery/bootstrap-ca/SKILL.md';
  await assert.rejects(skills.get(uri));
  await assert.rejects(client.readResource({ uri }));
});
