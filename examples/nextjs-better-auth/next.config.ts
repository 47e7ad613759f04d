import { join } from 'node:path';
import type { NextConfig } from 'next';

// The client is a neighbour in this repository; a project that installs it as a package needs no such line.
export default { turbopack: { root: join(import.meta.dirname, '../..') } } satisfies NextConfig;
