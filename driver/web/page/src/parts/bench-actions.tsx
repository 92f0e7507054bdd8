/** What is done to a device on purpose: faults, limits, snapshots. */

import { useState } from 'preact/hooks';
import type {
  DeviceStatus,
  FaultKind,
  FaultOperation,
  FaultRule,
  FaultsAnswer,
  Limits,
  LimitsChange,
} from '../../../../control/messages.js';
import { call } from '../api.js';
import { duration, fileName } from '../format.js';
import { store } from '../store.js';
import { ActionDialog, Check, Field } from './dialog.js';
import { numberValue, sizeValue } from './size-field.js';

interface Props {
  readonly device: DeviceStatus;
  readonly close: () => void;
}

const KINDS: readonly (readonly [FaultKind, string])[] = [
  ['errno', 'is answered with an errno'],
  ['delay', 'is delayed'],
  ['hang', 'hangs until it is released'],
  ['lost', 'is answered, and not done'],
  ['torn', 'is done in part'],
  ['misdirected', 'goes to another place'],
  ['flipped', 'has bits flipped'],
];
const OPERATIONS: readonly FaultOperation[] = ['read', 'write', 'flush', 'trim', 'zero'];

/** Percent as a share. */
const shareOf = (percent: string): number =>
  typeof numberValue(percent) === 'number' ? Number(percent) / 100 : numberValue(percent);

export function AddFault({ device, close }: Props) {
  const [kind, setKind] = useState<FaultKind>('errno');
  const [errno, setErrno] = useState('EIO');
  const [delay, setDelay] = useState('100');
  const [chance, setChance] = useState('100');
  const [count, setCount] = useState('');
  const [operations, setOperations] = useState<readonly FaultOperation[]>(['read']);
  const act = async (): Promise<undefined> => {
    const rule: FaultRule = {
      kind,
      operations,
      ...(kind === 'errno' && { errno }),
      ...(kind === 'delay' && { delay: { distribution: 'fixed', ms: numberValue(delay) } }),
      ...(chance !== '100' && { probability: shareOf(chance) }),
      ...(count !== '' && { count: numberValue(count) }),
    };
    await call<FaultsAnswer>('POST', `/devices/${device.number}/faults`, { rules: [rule] });
    await refresh(device);
  };
  const toggle = (one: FaultOperation) => (isOn: boolean) =>
    setOperations(isOn ? [...operations, one] : operations.filter((other) => other !== one));
  return (
    <ActionDialog title={`Give ${device.name} a fault?`} confirm="Add" isDangerous act={act} close={close}>
      <p>
        Requests of its clients meet it from now on, until it is taken away or the device lets go of its file.
      </p>
      <label class="field">
        <span>A request</span>
        <select value={kind} onInput={(event) => setKind(event.currentTarget.value as FaultKind)}>
          {KINDS.map(([one, words]) => (
            <option key={one} value={one}>
              {words}
            </option>
          ))}
        </select>
      </label>
      {kind === 'errno' && (
        <Field label="Errno" value={errno} change={setErrno} hint="EIO, ENOSPC, …" required />
      )}
      {kind === 'delay' && (
        <Field label="Delay" value={delay} change={setDelay} hint="Milliseconds" required />
      )}
      <fieldset class="checks">
        <legend>Of these operations</legend>
        {OPERATIONS.map((one) => (
          <Check key={one} label={one} value={operations.includes(one)} change={toggle(one)} />
        ))}
      </fieldset>
      <div class="pair">
        <Field label="Chance" value={chance} change={setChance} hint="Percent of them" required />
        <Field label="At most" value={count} change={setCount} hint="Requests; none: all" />
      </div>
    </ActionDialog>
  );
}

export function NoFaults({ device, close }: Props) {
  const act = async (): Promise<undefined> => {
    await call<FaultsAnswer>('PUT', `/devices/${device.number}/faults`, { rules: [] });
    await refresh(device);
  };
  return (
    <ActionDialog
      title={`Take all faults of ${device.name} away?`}
      confirm="Take away"
      act={act}
      close={close}
    >
      <p>What hangs goes on.</p>
    </ActionDialog>
  );
}

export function RemoveFault({ device, rule, close }: Props & { readonly rule: string }) {
  const act = async (): Promise<undefined> => {
    await call<FaultsAnswer>('DELETE', `/devices/${device.number}/faults/${encodeURIComponent(rule)}`);
    await refresh(device);
  };
  return (
    <ActionDialog
      title={`Take rule ${rule} of ${device.name} away?`}
      confirm="Take away"
      act={act}
      close={close}
    >
      <p>What it holds goes on. The other rules stay as they are.</p>
    </ActionDialog>
  );
}

export function ReleaseFaults({ device, close }: Props) {
  const act = async (): Promise<undefined> => {
    await call<FaultsAnswer>('POST', `/devices/${device.number}/faults/release`, {});
    await refresh(device);
  };
  return (
    <ActionDialog title={`Let what hangs on ${device.name} go on?`} confirm="Release" act={act} close={close}>
      <p>The rules stay: the next request that meets one hangs again.</p>
    </ActionDialog>
  );
}

const LIMITS: readonly (readonly [keyof Limits, string, string])[] = [
  ['iops', 'Requests', 'A second, of all'],
  ['bytes', 'Bytes', 'A second, of all; K, M, G'],
  ['iopsRead', 'Reads', 'A second'],
  ['bytesRead', 'Bytes read', 'A second; K, M, G'],
  ['iopsWrite', 'Writes', 'A second'],
  ['bytesWrite', 'Bytes written', 'A second; K, M, G'],
];

export function ChangeLimits({ device, close }: Props) {
  const [texts, setTexts] = useState<Partial<Record<keyof Limits, string>>>(
    Object.fromEntries(LIMITS.map(([name]) => [name, device.limits[name]?.toString() ?? ''])),
  );
  const act = async (): Promise<undefined> => {
    const change: Record<string, number | string | null> = {};
    for (const [name] of LIMITS) {
      const text = texts[name] ?? '';
      change[name] = text === '' ? null : sizeValue(text);
    }
    await call<Limits>('PATCH', `/devices/${device.number}/limits`, change as LimitsChange);
    await refresh(device);
  };
  return (
    <ActionDialog title={`Limit what ${device.name} may be asked for`} confirm="Set" act={act} close={close}>
      <p>What is beyond waits, and no other device with it. An empty field is no limit.</p>
      <div class="pair">
        {LIMITS.map(([name, label, hint]) => (
          <Field
            key={name}
            label={label}
            hint={hint}
            value={texts[name] ?? ''}
            change={(text) => setTexts({ ...texts, [name]: text })}
          />
        ))}
      </div>
    </ActionDialog>
  );
}

interface SnapshotAnswer {
  readonly kind: 'clone' | 'sealed';
  readonly file: string;
  readonly waitedMs: number;
}

export function Snapshot({ device, close }: Props) {
  const [file, setFile] = useState('');
  const [fsfreeze, setFsfreeze] = useState(false);
  const isAttached = (store.samples.get(device.number)?.node ?? device.node) !== null;
  const act = async (): Promise<string> => {
    const [taken] = await call<SnapshotAnswer[]>('POST', '/snapshots', {
      devices: [{ number: device.number, file }],
      ...(fsfreeze && { fsfreeze }),
    });
    await refresh(device);
    if (taken === undefined) return 'No snapshot was taken.';
    const what =
      taken.kind === 'clone' ? 'a clone of its file' : 'its delta, sealed; a new one goes on over it';
    return `${fileName(taken.file)} is ${what}. Requests waited ${duration(taken.waitedMs * 1000)} at most.`;
  };
  return (
    <ActionDialog title={`Take a snapshot of ${device.name}`} confirm="Take it" act={act} close={close}>
      <p>What the device holds at this moment is kept in a file; requests wait for that moment.</p>
      <Field label="File" value={file} change={setFile} hint="Absolute path, where no file is" required />
      {isAttached && (
        <Check
          label="Freeze the file systems that are mounted from it"
          value={fsfreeze}
          change={setFsfreeze}
        />
      )}
    </ActionDialog>
  );
}

/** Not every one of these changes is an event. */
async function refresh({ number }: DeviceStatus): Promise<void> {
  store.put(await call<DeviceStatus>('GET', `/devices/${number}`));
}
