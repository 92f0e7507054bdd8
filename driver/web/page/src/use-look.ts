/** What a view asks for by itself, each time that the daemon's next sample has come. */

import { useEffect, useState } from 'preact/hooks';
import { get, Refusal } from './api.js';
import { store, useStore } from './store.js';

export interface Look<T> {
  readonly value: T | undefined;
  /** Why the last answer is a refusal. */
  readonly error: Refusal | undefined;
}

/** `path` null: nothing is asked. `every`: samples between two looks. */
export function useLook<T>(path: string | null, every = 1): Look<T> {
  const { sample, resyncs, actions } = useStore();
  const [look, setLook] = useState<Look<T> & { path?: string }>({ value: undefined, error: undefined });
  const turn = Math.floor((sample?.at ?? 0) / 2000 / every);
  useEffect(() => {
    if (path === null || store.connection === 'locked') return;
    let isWanted = true;
    get<T>(path).then(
      (value) => isWanted && setLook({ value, error: undefined, path }),
      (error: unknown) =>
        isWanted && error instanceof Refusal && setLook((last) => ({ value: last.value, error, path })),
    );
    return () => {
      isWanted = false;
    };
  }, [path, turn, resyncs, actions]);
  return look.path === path ? look : { value: undefined, error: undefined };
}
