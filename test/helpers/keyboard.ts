/** A page by its keyboard alone. */
import type { Page } from 'playwright-core';

/** Name of what has the focus, about as it is read out; none where a round through the page begins anew. */
const FOCUSED = `(() => {
  const element = document.activeElement;
  if (element === null || element.matches('body, dialog')) return '';
  const label = element.closest('label');
  const words = label?.querySelector('span') ?? label ?? element;
  return element.getAttribute('aria-label') ?? words.textContent ?? '';
})()`;

/** Presses Tab until what has the focus is called so. */
export async function comeTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 80; presses++) {
    await page.keyboard.press('Tab');
    if (String(await page.evaluate(FOCUSED)).includes(name)) return;
  }
  throw new Error(`the keyboard does not come to ${name}`);
}

export async function press(page: Page, name: string): Promise<void> {
  await comeTo(page, name);
  await page.keyboard.press('Enter');
}

/** In place of what is there. */
export async function type(page: Page, name: string, text: string): Promise<void> {
  await comeTo(page, name);
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.type(text);
}

export async function tick(page: Page, name: string): Promise<void> {
  await comeTo(page, name);
  await page.keyboard.press('Space');
}
