import { type McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import {
  type Skill,
  SKILLS_EXTENSION_ID,
  SKILLS_GET_METHOD,
  SKILLS_LIST_METHOD,
  skillEntry,
} from '@modelcontextprotocol/server/ext/skills';
import { z } from 'zod';
import { jobText, jobsFor } from './prompts.ts';
import type { FixedText, TextSource } from './resources.ts';
import type { PartContext } from './server.ts';
import { type Job, jobs } from './texts/jobs.ts';

/** The jobs as skills (SEP-2640): the model chooses one by its description. The same texts as the prompts. */

const skillTemplate = {
  name: 'io.modelcontextprotocol/skills',
  uriTemplate: 'skill://chancery/{+path}',
  title: 'Skills',
  description: 'Instructions for the jobs that this server is for',
  mimeType: 'text/markdown',
} as const;

/** The text of `SKILL.md`. */
export function skillText(job: Job): string {
  const given = job.arguments.map(
    ({ name, description, required }) => `- ${name}${required ? '' : ' (may be absent)'}: ${description}`,
  );
  return [
    '---',
    `name: ${skillName(job)}`,
    // A text of JSON is one of YAML.
    `description: ${JSON.stringify(job.description)}`,
    '---',
    '',
    `# ${job.title}`,
    '',
    'Know these first; ask the user for what you do not:',
    '',
    ...given,
    '',
    jobText(job),
  ].join('\n');
}

export function skillName({ name }: Job): string {
  return name.replaceAll('_', '-');
}

function skillUri(job: Job): string {
  return `skill://chancery/${skillName(job)}/SKILL.md`;
}

const texts: ReadonlyMap<Job, FixedText> = new Map(
  jobs.map((job) => [
    job,
    {
      uri: skillUri(job),
      name: skillName(job),
      title: job.title,
      description: job.description,
      mimeType: 'text/markdown',
      text: skillText(job),
    },
  ]),
);

/** What is read as a resource: the skills that this caller could follow. */
export const skillTexts: TextSource = {
  template: skillTemplate,
  list: ({ caller }) => jobsFor(caller).flatMap((job) => texts.get(job) ?? []),
};

let entries: Promise<ReadonlyMap<string, Skill>> | undefined;

/** With digests: made once, when they are first asked for. */
function allEntries(): Promise<ReadonlyMap<string, Skill>> {
  entries ??= Promise.all(
    jobs.map(async (job) => {
      const skill = await skillEntry(`chancery/${skillName(job)}`, { 'SKILL.md': skillText(job) });
      return [skill.uri, skill] as const;
    }),
  ).then((made) => new Map(made));
  return entries;
}

const listParams = z.looseObject({ cursor: z.string().optional() });
const getParams = z.looseObject({ uri: z.string() });

/**
 * The two methods and the capability. Not by the SDK's extension: that makes a resource handler per request of its own,
 * and ours serves all resources. All skills fit on one page, so there is no cursor.
 */
export function registerSkills({ server }: McpServer, { caller }: PartContext): void {
  server.registerCapabilities({ extensions: { [SKILLS_EXTENSION_ID]: {} } });
  server.setRequestHandler(SKILLS_LIST_METHOD, { params: listParams }, async ({ cursor }) => {
    if (cursor !== undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'The cursor is not one that this list returned.');
    const all = await allEntries();
    return { skills: jobsFor(caller).flatMap((job) => all.get(skillUri(job)) ?? []), ...cacheFields(server) };
  });
  server.setRequestHandler(SKILLS_GET_METHOD, { params: getParams }, async ({ uri }) => {
    const job = jobsFor(caller).find((candidate) => skillUri(candidate) === uri);
    const skill = job && (await allEntries()).get(uri);
    if (skill === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is no skill of this address here.');
    return { skill, ...cacheFields(server) };
  });
}

/** Which skills there are depends on the token, so no cache may share them. Before 2026-07-28 results had no such fields. */
function cacheFields(server: McpServer['server']): object {
  const revision = server.getNegotiatedProtocolVersion();
  return revision !== undefined && revision >= '2026-07-28' ? { ttlMs: 300_000, cacheScope: 'private' } : {};
}
