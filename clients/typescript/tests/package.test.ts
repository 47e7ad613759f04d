/** The package: its contents, that the demo page has this client, and that the OpenAPI document passes its linter. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { expect, test } from 'vitest';

const run = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const scratch = (use: (folder: string) => void) => {
  const folder = mkdtempSync(join(tmpdir(), 'tasklane-'));
  try {
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

test("the demo page's copy is this client (npm run demo renews it)", () =>
  scratch((folder) => {
    run('node_modules/.bin/tsc', '--project', 'tsconfig.build.json', '--outDir', folder);
    for (const name of ['client.js', 'store.js']) {
      expect(readFileSync(`../../demo/${name}`, 'utf8') === readFileSync(join(folder, name), 'utf8'), name).toBe(true);
    }
  }));

test('the package has the modules and their declarations, and no dependency', () => {
  const [pack] = JSON.parse(run('npm', 'pack', '--dry-run', '--json'));
  const modules = ['client', 'index', 'schema', 'store'].flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]);
  expect(pack.files.map(({ path }: { path: string }) => path).sort()).toEqual(['README.md', ...modules, 'package.json'].sort());
  const described = JSON.parse(readFileSync('package.json', 'utf8'));
  expect(described.dependencies ?? {}).toEqual({});
  expect(readFileSync('package-lock.json', 'utf8')).not.toMatch(/"resolved"/);
});

test('it has at most 400 lines of code', () => {
  const files = readdirSync('src').filter((name) => name !== 'schema.ts');
  const lines = files.flatMap((name) => readFileSync(join('src', name), 'utf8').split('\n'));
  const code = lines.filter((line) => !/^\s*(\/\/|\/\*|\*|$)/.test(line));
  expect(code.length).toBeLessThanOrEqual(400);
});

test("the README's examples are those that are type-checked", () => {
  const readme = readFileSync('README.md', 'utf8');
  for (const name of readdirSync('examples')) {
    expect(readme, name).toContain(readFileSync(join('examples', name), 'utf8').trim());
  }
});

test('the description passes the recommended rules of Redocly', async () => {
  // /health and /ready refuse nobody.
  const config = await createConfig({ extends: ['recommended'], rules: { 'operation-4xx-response': 'off' } });
  const found = await lintFromString({ source: readFileSync('../../openapi.json', 'utf8'), config });
  const told = found.map(({ severity, ruleId, message, location }) => `${severity} ${ruleId}: ${message} at ${location[0]?.pointer}`);
  expect(told).toEqual([]);
});
