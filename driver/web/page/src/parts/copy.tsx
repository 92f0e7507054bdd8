/** How the copy of a device goes that runs, or ran last. */

import type { CopyAnswer, DeviceStatus } from '../../../../control/messages.js';
import type { Copies } from '../../../live-messages.js';
import { bytes, duration, fileName } from '../format.js';
import { useLook } from '../use-look.js';
import type { Action } from './actions.js';

interface Props {
  readonly device: DeviceStatus;
  readonly act: (action: Action) => void;
}

export function Copy({ device, act }: Props) {
  const { value } = useLook<Copies>('/copies');
  const copy = value?.find(({ number }) => number === device.number)?.copy;
  const isRunning = copy?.state === 'running';
  return (
    <section class="copy">
      <div class="section-head">
        <h2>Copy</h2>
        <div class="tools small">
          {isRunning ? (
            <button type="button" onClick={() => act({ kind: 'cancel-copy', device })}>
              Cancel the copy…
            </button>
          ) : (
            <button type="button" onClick={() => act({ kind: 'move', device })}>
              Move…
            </button>
          )}
          {!isRunning && device.layers > 1 && (
            <>
              <button type="button" onClick={() => act({ kind: 'flatten', device })}>
                Flatten…
              </button>
              <button type="button" onClick={() => act({ kind: 'commit', device })}>
                Commit…
              </button>
            </>
          )}
        </div>
      </div>
      {value === undefined ? null : copy === undefined ? (
        <p class="faint">Its bytes stay where they are.</p>
      ) : (
        <Progress copy={copy} />
      )}
    </section>
  );
}

const DOING = {
  move: 'Moving to',
  flatten: 'Making one file of it:',
  commit: 'Writing its delta into',
} as const;
const DONE = { move: 'Moved to', flatten: 'Made one file of it:', commit: 'Wrote its delta into' } as const;

function Progress({ copy }: { copy: CopyAnswer }) {
  const { kind, file, state, doneBytes, totalBytes, rate, errno, message, waitedMs } = copy;
  const name = <code>{fileName(file)}</code>;
  if (state === 'failed') {
    return (
      <p class="warning">
        {DOING[kind]} {name} failed: {message} ({errno})
      </p>
    );
  }
  if (state === 'cancelled') {
    return (
      <p class="faint">
        {DOING[kind]} {name} was cancelled.
      </p>
    );
  }
  if (state === 'done') {
    return (
      <p>
        {DONE[kind]} {name}
        {waitedMs !== null && `. Requests waited ${duration(waitedMs * 1000)} for it`}.
      </p>
    );
  }
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  return (
    <div class="progress">
      <p>
        {DOING[kind]} {name}
      </p>
      <progress max={1} value={share} aria-label={`${DOING[kind]} ${fileName(file)}`} />
      <p class="faint">
        {Math.floor(share * 100)} %: {bytes(doneBytes)} of {bytes(totalBytes)}
        {rate > 0 && `, at most ${bytes(rate)} a second`}
      </p>
    </div>
  );
}
