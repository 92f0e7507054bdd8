/** A device's state as a mark and a word: never by colour alone. */

import type { DeviceStatus } from '../../../../control/messages.js';
import type { DeviceSample } from '../../../live-messages.js';

export interface Shown {
  readonly word: string;
  readonly tone: 'good' | 'idle' | 'warn' | 'bad';
}

export function shownState({ state }: DeviceStatus, sample: DeviceSample | undefined): Shown {
  if (sample?.isFrozen) return { word: 'frozen', tone: 'warn' };
  if (sample?.trouble === 'stalled') return { word: 'stalled', tone: 'bad' };
  if (sample?.trouble === 'slow') return { word: 'slow', tone: 'warn' };
  if (state === 'bound') return { word: 'bound', tone: 'good' };
  if (state === 'rundown') return { word: 'letting go', tone: 'warn' };
  return { word: state === 'deleting' ? 'going away' : 'unbound', tone: 'idle' };
}

export function StateMark({ device, sample }: { device: DeviceStatus; sample: DeviceSample | undefined }) {
  return <Mark {...shownState(device, sample)} />;
}

export function Mark({ word, tone }: Shown) {
  return (
    <span class={`state ${tone}`}>
      <span class="dot" aria-hidden="true" />
      {word}
    </span>
  );
}
