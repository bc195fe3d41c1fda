import { registerCompletion } from './completion.ts';
import { registerPrompts } from './prompts.ts';
import { registerResources } from './resources.ts';
import type { ServerPart } from './server.ts';
import { registerSkills, skillTexts } from './skills.ts';

/** All that a server has beside tools. */
export const parts: readonly ServerPart[] = [
  registerSkills,
  (server, context) => registerResources(server, context, skillTexts),
  registerPrompts,
  registerCompletion,
];
