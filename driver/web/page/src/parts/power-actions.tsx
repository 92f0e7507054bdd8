/** A volatile write cache, and the power that goes. */

import { useState } from 'preact/hooks';
import type { DeviceStatus, PowerCutAnswer, PowerCutRequest } from '../../../../control/messages.js';
import { call } from '../api.js';
import { many } from '../format.js';
import { store } from '../store.js';
import { ActionDialog, Check, Field } from './dialog.js';
import { numberValue } from './size-field.js';

interface Props {
  readonly device: DeviceStatus;
  readonly close: () => void;
}

export function VolatileCache({ device, close }: Props) {
  const on = !device.volatileCache;
  const act = async (): Promise<undefined> => {
    store.put(await call<DeviceStatus>('PUT', `/devices/${device.number}/volatile-cache`, { on }));
  };
  return (
    <ActionDialog
      title={`${on ? 'Give' : 'Take'} ${device.name} ${on ? 'a volatile cache?' : 'its volatile cache?'}`}
      confirm={on ? 'Turn on' : 'Turn off'}
      act={act}
      close={close}
    >
      <p>
        {on
          ? 'Writes are durable only once a flush or FUA has asked for it, as on a disk with a cache: a power cut loses the rest.'
          : 'What it holds is made durable, and every write is from then on as the file has it.'}
      </p>
    </ActionDialog>
  );
}

const KEEPS: readonly (readonly [NonNullable<PowerCutRequest['keep']>, string])[] = [
  ['none', 'is lost'],
  ['random', 'is lost or kept by chance, write by write'],
  ['all', 'is kept'],
];

export function PowerCut({ device, close }: Props) {
  const [keep, setKeep] = useState<NonNullable<PowerCutRequest['keep']>>('none');
  const [tear, setTear] = useState(false);
  const [seed, setSeed] = useState('');
  const act = async (): Promise<string> => {
    const request: PowerCutRequest = {
      keep,
      ...(tear && { tear }),
      ...(keep === 'random' && seed !== '' && { seed: numberValue(seed) }),
    };
    const left = await call<PowerCutAnswer>('POST', `/devices/${device.number}/power-cut`, request);
    const torn = left.torn === 0 ? '' : `, ${left.torn} of them in part`;
    const drawn = left.keep === 'random' ? ` Seed ${left.seed}.` : '';
    return `The power went. Of ${many(left.writes, 'write')} that ${left.writes === 1 ? 'was' : 'were'} not durable, ${left.kept} ${left.kept === 1 ? 'was' : 'were'} kept${torn}.${drawn}`;
  };
  return (
    <ActionDialog
      title={`Cut the power of ${device.name}?`}
      confirm="Cut the power"
      isDangerous
      act={act}
      close={close}
    >
      <p>
        Every session of it ends now.{' '}
        {device.volatileCache ? '' : 'Without a volatile cache nothing is lost by it.'}
      </p>
      <label class="field">
        <span>What was not made durable</span>
        <select value={keep} onInput={(event) => setKeep(event.currentTarget.value as typeof keep)}>
          {KEEPS.map(([one, words]) => (
            <option key={one} value={one}>
              {words}
            </option>
          ))}
        </select>
      </label>
      {keep === 'random' && (
        <>
          <Field
            label="Seed"
            value={seed}
            change={setSeed}
            hint="A whole number; none: drawn"
            inputMode="numeric"
          />
          <Check label="Of a write, some sectors may be kept and others not" value={tear} change={setTear} />
        </>
      )}
    </ActionDialog>
  );
}
