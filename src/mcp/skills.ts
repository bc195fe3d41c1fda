import type { McpServer } from '@modelcontextprotocol/server';
import { type Skill, type SkillSource, SkillsExtension, skillEntry } from '@modelcontextprotocol/server/ext/skills';
import { jobText, jobsFor } from './prompts.ts';
import type { FixedText } from './resources.ts';
import type { PartContext } from './server.ts';
import { type Job, jobs } from './texts/jobs.ts';

/** The jobs as skills (SEP-2640): the model chooses one by its description. The same texts as the prompts. */

export const skillTemplate = {
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

/** What is read as a resource: the skills that this caller could follow. */
export function skillTexts(context: PartContext): FixedText[] {
  return jobsFor(context.caller).map((job) => ({
    uri: skillUri(job),
    name: skillName(job),
    title: job.title,
    description: job.description,
    mimeType: 'text/markdown',
    text: skillText(job),
  }));
}

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

function sourceFor(context: PartContext): SkillSource {
  const uris = () => jobsFor(context.caller).map(skillUri);
  return {
    list: async () => {
      const all = await allEntries();
      return { skills: uris().flatMap((uri) => all.get(uri) ?? []) };
    },
    get: async (uri) => (uris().includes(uri) ? (await allEntries()).get(uri) : undefined),
    read: async (uri) => {
      const found = skillTexts(context).find((text) => text.uri === uri);
      return found && { text: found.text, mimeType: found.mimeType };
    },
  };
}

const cacheHint = { ttlMs: 300_000, cacheScope: 'private' } as const;

/** Methods and capability. The SDK answers for resources as well, until ours take that over; what is listed stays as it is. */
export function registerSkills(server: McpServer, context: PartContext): void {
  server.server.registerCapabilities({ resources: { listChanged: false } });
  new SkillsExtension({ source: sourceFor(context), baseUri: 'skill://chancery', cacheHint }).attach(server);
}
