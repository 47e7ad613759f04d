// Makes the pictures of the README and the docs: node pictures.mjs FOLDER. TASKLANE names the binary.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBrowser, startServer } from './harness.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const frames = mkdtempSync(join(tmpdir(), 'tasklane-frames-'));
const server = await startServer();
const browser = await startBrowser();

async function open(path, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  await page.goto(path === '/' ? server.page : server.address + path);
  if (path === '/') await page.waitForSelector('#status[data-state=live]');
  return page;
}
const shoot = async (page, name) => {
  const path = join(folder, `${name}.png`);
  await page.waitForTimeout(400);
  await page.screenshot({ path });
  execFileSync('pngquant', ['--force', '--skip-if-larger', '--ext', '.png', '--quality', '70-95', path]);
};
const row = (page, title) => page.locator('#list > li', { hasText: title });

/** The recording: two windows side by side, a frame after each step. */
async function record() {
  const size = { viewport: { width: 420, height: 560 } };
  const windows = [await open('/', { ...size, colorScheme: 'light' }), await open('/', { ...size, colorScheme: 'dark' })];
  const [left, right] = windows;
  let number = 0;
  const frame = async (seconds = 0.5) => {
    const parts = [];
    for (const [place, page] of windows.entries()) {
      parts.push(join(frames, `part-${place}.png`));
      await page.screenshot({ path: parts[place] });
    }
    for (let i = 0; i < seconds * 10; i++) {
      const path = join(frames, `${String(number++).padStart(4, '0')}.png`);
      execFileSync('ffmpeg', ['-v', 'error', '-y', '-i', parts[0], '-i', parts[1], '-filter_complex', '[0]pad=iw+8:ih:0:0:gray[l];[l][1]hstack', path]);
    }
  };
  await frame(1);
  for (const text of ['Wat', 'Water the ', 'Water the plants']) {
    await left.fill('#new-title', text);
    await frame(0.3);
  }
  await left.press('#new-title', 'Enter');
  await row(right, 'Water the plants').waitFor();
  await left.keyboard.press('Escape');
  await frame(1.2);
  await row(right, 'Water the plants').locator('input').click();
  await left.locator('#list > li.done', { hasText: 'Water the plants' }).waitFor();
  await frame(1.2);
  await left.context().setOffline(true);
  await left.waitForSelector('#status[data-state=offline]');
  await row(left, 'Buy milk').locator('input').click();
  await left.getByText('1 waiting').waitFor();
  await frame(1.4);
  await left.context().setOffline(false);
  await right.locator('#list > li.done', { hasText: 'Buy milk' }).waitFor();
  await left.waitForTimeout(300);
  await frame(1.6);
  const palette = 'split[a][b];[a]palettegen=max_colors=64[p];[b][p]paletteuse=dither=none';
  execFileSync('ffmpeg', ['-v', 'error', '-y', '-framerate', '10', '-i', join(frames, '%04d.png'), '-vf', palette, join(folder, 'two-windows.gif')]);
  for (const page of windows) await page.context().close();
}

try {
  const page = await open('/', { viewport: { width: 1000, height: 620 } });
  await page.click('#examples');
  await row(page, 'Buy milk').locator('input').click();
  await page.waitForSelector('[data-view=done] .count:text-is("1")');
  await page.locator('#new-title').blur();
  await shoot(page, 'page');
  const dark = await open('/', { viewport: { width: 1000, height: 620 }, colorScheme: 'dark' });
  await dark.getByRole('button', { name: 'Edit: Book the train' }).click();
  await shoot(dark, 'page-dark');
  const phone = await open('/', { viewport: { width: 400, height: 760 } });
  await shoot(phone, 'page-phone');
  await row(page, 'Buy milk').locator('input').click();
  const docs = await open('/docs', { viewport: { width: 1000, height: 620 } });
  await docs.getByText('List the tasks').waitFor();
  await shoot(docs, 'docs');
  await record();
} finally {
  await browser.close();
  await server.stop();
  rmSync(frames, { recursive: true });
}
