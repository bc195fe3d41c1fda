import { toManifest } from '#cli/manifest.ts';
import { renderCliReference } from '#cli/reference.ts';
import { allOperations } from '#chancery/operations.ts';
import { describeApi } from '#http/openapi.ts';
import { skillName, skillText } from '#mcp/skills.ts';
import { jobs } from '#mcp/texts/jobs.ts';
import manifest from '../package.json' with { type: 'json' };
import { renderConfiguration } from './configuration-page.ts';
import type { GeneratedDocument } from './generate.ts';
import { renderTools } from './tools-page.ts';

/** Every generated file of the repository. What else is made from the code gets a line here. */
export const documents: readonly GeneratedDocument[] = [
  { file: 'docs/configuration.md', render: renderConfiguration },
  { file: 'src/cli/operations.json', render: () => toManifest(allOperations) },
  { file: 'docs/generated/cli.md', render: () => renderCliReference(allOperations) },
  { file: 'docs/generated/tools.md', render: renderTools },
  // For clients that take skills from files and not from the server.
  ...jobs.map((job) => ({ file: `skills/${skillName(job)}/SKILL.md`, render: () => skillText(job) })),
  {
    file: 'docs/generated/openapi.json',
    render: () => {
      const api = describeApi({ version: manifest.version, operations: allOperations, publicRoutes: [] });
      return `${JSON.stringify(api, null, 2)}\n`;
    },
  },
];
