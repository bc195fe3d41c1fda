import type { SecretDelivery } from './backend.ts';

/** CHANCERY_MCP_REVEAL=true: secrets stand in the result, and so in the model, its provider and the transcript. */
export const revealSecrets: SecretDelivery = {
  deliver: async (_operation, output) => ({ output }),
};

/** Where nobody gives another: nothing secret leaves. */
export const withholdSecrets: SecretDelivery = {
  deliver: async () => {
    throw new Error('no way to deliver secrets is set up');
  },
};
