import packageJson from '../package.json' with { type: 'json' };

/** Of the package. */
export const version: string = packageJson.version;
