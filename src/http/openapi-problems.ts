import { errorCodes } from '#core/errors.ts';
import type { Json, JsonObject } from './openapi-schema.ts';

/** The schema of our problem documents, as problem.ts writes them. */
export const problemSchema: Json = {
  type: 'object',
  description: 'A problem document (RFC 9457)',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string', format: 'uri-reference', description: 'Where the code is explained' },
    title: { type: 'string', description: 'What kind of problem it is; constant per code' },
    status: { type: 'integer', description: 'The HTTP status' },
    detail: { type: 'string', description: 'What was found, and what is allowed' },
    code: { type: 'string', enum: Object.keys(errorCodes), description: 'The code, for programs' },
    hint: { type: 'string', description: 'The next step that would help' },
    request_id: { type: 'string', description: 'Names the request in log and audit' },
    errors: {
      type: 'array',
      description: 'Every single finding, where there are several',
      items: {
        type: 'object',
        required: ['at', 'message'],
        properties: {
          at: { type: 'string', description: 'JSON pointer into the request, or the name of the rule that refused' },
          message: { type: 'string', description: 'What was found there' },
        },
      },
    },
  },
};

/** One response per status that a code has: `Problem404`. */
export function problemResponses(): JsonObject {
  const statuses = [...new Set(Object.values(errorCodes).map(({ status }) => status))];
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = Object.entries(errorCodes).filter(([, entry]) => entry.status === status);
      return [
        `Problem${status}`,
        {
          description: codes.map(([code, { title }]) => `${title} (\`${code}\`)`).join('; '),
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ];
    }),
  );
}

/** Every code with its status and title, for the page that explains them. */
export function errorTable(): JsonObject {
  return Object.fromEntries(
    Object.entries(errorCodes).map(([code, { status, title, exit }]) => [code, { status, title, exit }]),
  );
}
