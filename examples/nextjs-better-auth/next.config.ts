import { join } from 'node:path';
import type { NextConfig } from 'next';

// Here the client is in the same repository; a project that installs it as a package does not need this line.
export default { turbopack: { root: join(import.meta.dirname, '../..') } } satisfies NextConfig;
