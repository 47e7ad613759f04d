import { defineConfig } from 'vitest/config';

// The tests run real servers and compilers, which are slow on a busy machine.
export default defineConfig({ test: { testTimeout: 120_000, hookTimeout: 120_000 } });
