/** A client for Tasklane: typed calls ({@link Tasklane}) and an optimistic store ({@link TaskStore}). */
export * from './client.js';
export * from './store.js';
export type { components, operations, paths } from './schema.js';
