/** What can be done with a device, each by the control API's own operation, after it was confirmed. */

import { useState } from 'preact/hooks';
import type { ClearAnswer, ConfigureRequest, DeviceStatus } from '../../../../control/messages.js';
import { call } from '../api.js';
import { bytes, fileName } from '../format.js';
import { store } from '../store.js';
import { AddFault, ChangeLimits, NoFaults, ReleaseFaults, RemoveFault, Snapshot } from './bench-actions.js';
import { CancelCopy, Commit, Flatten, Move } from './copy-actions.js';
import { ActionDialog, Check, Field } from './dialog.js';
import { PowerCut, VolatileCache } from './power-actions.js';
import { sizeField } from './size-field.js';

export type Action =
  | { readonly kind: 'bind'; readonly number?: number }
  | { readonly kind: 'remove-fault'; readonly device: DeviceStatus; readonly rule: string }
  | { readonly kind: DeviceAction; readonly device: DeviceStatus };

type DeviceAction =
  | 'let-go'
  | 'direct-io'
  | 'capacity'
  | 'snapshot'
  | 'move'
  | 'flatten'
  | 'commit'
  | 'cancel-copy'
  | 'fault'
  | 'no-faults'
  | 'release-faults'
  | 'limits'
  | 'volatile-cache'
  | 'power-cut';

export function ActionFor({ action, close }: { action: Action; close: () => void }) {
  if (action.kind === 'bind') return <Bind number={action.number} close={close} />;
  if (action.kind === 'remove-fault') return <RemoveFault {...action} close={close} />;
  const Dialog = DIALOGS[action.kind];
  return <Dialog device={action.device} close={close} />;
}

interface Props {
  readonly device: DeviceStatus;
  readonly close: () => void;
}

function Bind({ number, close }: { number: number | undefined; close: () => void }) {
  const [file, setFile] = useState('');
  const [offset, setOffset] = useState('');
  const [sizeLimit, setSizeLimit] = useState('');
  const [flags, setFlags] = useState({ readOnly: false, directIo: false, autoclear: false, partscan: false });
  const act = async (): Promise<string> => {
    const request: ConfigureRequest = {
      file,
      ...(offset !== '' && { offset: sizeField(offset) }),
      ...(sizeLimit !== '' && { sizeLimit: sizeField(sizeLimit) }),
      ...Object.fromEntries(Object.entries(flags).filter(([, isOn]) => isOn)),
    };
    const device =
      number === undefined
        ? await call<DeviceStatus>('POST', '/devices/find', request)
        : await call<DeviceStatus>('PUT', `/devices/${number}/backing`, request);
    store.put(device);
    const warnings = device.warnings.length === 0 ? '' : ` ${device.warnings.join(' ')}`;
    return `${device.name} serves ${fileName(device.file ?? file)}, ${bytes(device.size)}.${warnings}`;
  };
  const flag = (name: keyof typeof flags) => (value: boolean) => setFlags({ ...flags, [name]: value });
  return (
    <ActionDialog
      title={number === undefined ? 'Bind a file to a free device' : `Bind a file to loop${number}`}
      confirm="Bind"
      act={act}
      close={close}
    >
      <Field
        label="File"
        value={file}
        change={setFile}
        hint="Absolute path on the daemon's machine"
        required
      />
      <div class="pair">
        <Field label="Offset" value={offset} change={setOffset} hint="Bytes; K, M, G, T" />
        <Field label="Size limit" value={sizeLimit} change={setSizeLimit} hint="Bytes; none: all of it" />
      </div>
      <div class="checks">
        <Check label="Read-only" value={flags.readOnly} change={flag('readOnly')} />
        <Check label="Direct I/O" value={flags.directIo} change={flag('directIo')} />
        <Check label="Let go at the last close" value={flags.autoclear} change={flag('autoclear')} />
        <Check label="Scan for partitions" value={flags.partscan} change={flag('partscan')} />
      </div>
    </ActionDialog>
  );
}

function LetGo({ device, close }: Props) {
  const [force, setForce] = useState(false);
  const openers = store.samples.get(device.number)?.openers ?? device.openers;
  const act = async (): Promise<string> => {
    const path = `/devices/${device.number}/backing${force ? '?force=true' : ''}`;
    const { outcome } = await call<ClearAnswer>('DELETE', path);
    return outcome === 'cleared'
      ? `${device.name} has let go of its file.`
      : `${device.name} is in use, and lets go of its file at the last close.`;
  };
  return (
    <ActionDialog
      title={`Let ${device.name} go of its file?`}
      confirm="Let go"
      isDangerous
      act={act}
      close={close}
    >
      <p>
        <code>{fileName(device.file ?? '')}</code> stays as it is, and is not served any more
        {openers > 0 ? `: now, or when the last of ${openers} openers has gone.` : '.'}
      </p>
      <Check label="Now, whoever has it open: they get I/O errors" value={force} change={setForce} />
    </ActionDialog>
  );
}

function DirectIo({ device, close }: Props) {
  const on = !device.directIo;
  const act = async (): Promise<undefined> => {
    store.put(await call<DeviceStatus>('PUT', `/devices/${device.number}/direct-io`, { on }));
  };
  return (
    <ActionDialog
      title={`Turn direct I/O of ${device.name} ${on ? 'on' : 'off'}?`}
      confirm={on ? 'Turn on' : 'Turn off'}
      act={act}
      close={close}
    >
      <p>
        {on
          ? "Reads and writes pass the page cache by. They wait while the queue is frozen for the change, and the file's dirty pages are written."
          : 'Reads and writes go through the page cache again. They wait while the queue is frozen for the change.'}
      </p>
    </ActionDialog>
  );
}

function Capacity({ device, close }: Props) {
  const [force, setForce] = useState(false);
  const act = async (): Promise<string> => {
    const path = `/devices/${device.number}/capacity${force ? '?force=true' : ''}`;
    const after = await call<DeviceStatus>('POST', path);
    store.put(after);
    return after.size === device.size
      ? `${device.name} has ${bytes(after.size)}, as before.`
      : `${device.name} has ${bytes(after.size)} now; it had ${bytes(device.size)}.`;
  };
  return (
    <ActionDialog
      title={`Take the file's present size for ${device.name}?`}
      confirm="Take it"
      act={act}
      close={close}
    >
      <p>
        The device has {bytes(device.size)}. If <code>{fileName(device.file ?? '')}</code> has grown or shrunk
        since, it gets the new size, in an attached kernel too.
      </p>
      <Check label="Also where that cuts a device in use" value={force} change={setForce} />
    </ActionDialog>
  );
}

const DIALOGS: Readonly<Record<DeviceAction, (props: Props) => preact.JSX.Element>> = {
  'let-go': LetGo,
  'direct-io': DirectIo,
  capacity: Capacity,
  snapshot: Snapshot,
  fault: AddFault,
  'no-faults': NoFaults,
  'release-faults': ReleaseFaults,
  limits: ChangeLimits,
  move: Move,
  flatten: Flatten,
  commit: Commit,
  'cancel-copy': CancelCopy,
  'volatile-cache': VolatileCache,
  'power-cut': PowerCut,
};
