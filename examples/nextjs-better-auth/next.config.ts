import { join } from 'node:path';
import type { NextConfig } from 'next';

const { TASKLANE_URL } = process.env;

export default {
  // Here the client is in the same repository; a project that installs it as a package does not need this line.
  turbopack: { root: join(import.meta.dirname, '../..') },
  // The same API under this site's own origin, for pages that must not call another one.
  rewrites: async () => (TASKLANE_URL ? [{ source: '/tasklane/:path*', destination: `${TASKLANE_URL}/:path*` }] : []),
} satisfies NextConfig;
