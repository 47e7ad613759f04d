import { defineConfig } from 'vitest/config';

// Real servers and compilers are at work; a busy machine takes its time.
export default defineConfig({ test: { testTimeout: 120_000, hookTimeout: 120_000 } });
