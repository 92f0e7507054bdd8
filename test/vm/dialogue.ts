/**
 * How a guest's script has the host do something in between: `ask NAME` in the script waits until the host's
 * step NAME is done, and fails with it. Files in the shared directory carry the questions and answers.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TempDir } from '../helpers/temp.js';

/** What the host does when the guest asks; a rejection makes the guest's `ask` fail. */
export type Steps = Readonly<Record<string, () => Promise<void>>>;

/** Defines `ask` for a script. */
export const ASK = `
ask() {
  touch "$SHARED/ask.$1"
  while [ ! -e "$SHARED/answer.$1" ]; do sleep 0.1; done
  read -r answer <"$SHARED/answer.$1"
  [ "$answer" = ok ] || { echo "the host could not $1: $answer"; return 1; }
}
`;

/** Answers the guest's questions until `work` is over; each step is done once. Returns what `work` returns. */
export async function answering<T>(shared: TempDir, steps: Steps, work: Promise<T>): Promise<T> {
  let isOver = false;
  const finished = work.finally(() => {
    isOver = true;
  });
  const waiting = new Map(Object.entries(steps));
  const listen = async (): Promise<void> => {
    while (!isOver) {
      for (const [name, step] of waiting) {
        if (!existsSync(shared.file(`ask.${name}`))) continue;
        waiting.delete(name);
        await answer(shared, name, step);
      }
      await sleep(50);
    }
  };
  const [result] = await Promise.all([finished, listen()]);
  return result;
}

async function answer(shared: TempDir, name: string, step: () => Promise<void>): Promise<void> {
  const text = await step().then(
    () => 'ok',
    (error: Error) => error.message.replaceAll('\n', ' '),
  );
  // The guest must never see half an answer.
  writeFileSync(shared.file(`answer.${name}.new`), `${text}\n`);
  renameSync(shared.file(`answer.${name}.new`), shared.file(`answer.${name}`));
}
