import { setTimeout as sleep } from 'node:timers/promises';

/** Asks again until the answer is not undefined; rejects after `limitMs`, a hang limit. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  limitMs = 60_000,
): Promise<T> {
  const limit = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > limit) throw new Error(`waited ${limitMs} ms in vain until ${what}`);
    await sleep(50);
  }
}
