import { registerCompletion } from './completion.ts';
import { registerPrompts } from './prompts.ts';
import { registerResources } from './resources.ts';
import type { ServerPart } from './server.ts';
import { registerSkills, skillTemplate, skillTexts } from './skills.ts';

/** All that a server has beside tools. Skills come first: the SDK answers for resources with them, until ours do for all. */
export const parts: readonly ServerPart[] = [
  registerSkills,
  (server, context) => registerResources(server, context, skillTexts(context), [skillTemplate]),
  registerPrompts,
  registerCompletion,
];
