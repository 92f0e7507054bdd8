/** What copies a device that is in use: another file, one file of an overlay, the delta into its base. */

import { useState } from 'preact/hooks';
import type { CopyAnswer, DeviceStatus } from '../../../../control/messages.js';
import { call } from '../api.js';
import { fileName } from '../format.js';
import { ActionDialog, Field } from './dialog.js';
import { sizeValue } from './size-field.js';

interface Props {
  readonly device: DeviceStatus;
  readonly close: () => void;
}

/** Resolves when the copy runs: the section of the device tells how it goes. */
async function start(device: DeviceStatus, kind: CopyAnswer['kind'], file: string, rate: string) {
  const request = {
    ...(file !== '' && { file }),
    ...(rate !== '' && { rate: sizeValue(rate) }),
  };
  await call<CopyAnswer>('POST', `/devices/${device.number}/${kind}`, request);
  return undefined;
}

function Rate({ value, change }: { value: string; change: (value: string) => void }) {
  return (
    <Field label="At most" value={value} change={change} hint="Bytes a second; K, M, G; none: no limit" />
  );
}

export function Move({ device, close }: Props) {
  const [file, setFile] = useState('');
  const [rate, setRate] = useState('');
  return (
    <ActionDialog
      title={`Move ${device.name} to another file?`}
      confirm="Move"
      act={() => start(device, 'move', file, rate)}
      close={close}
    >
      <p>
        Its bytes are copied while it is in use, and it has the new file from then on. The old one stays as it
        was at that moment.
      </p>
      <Field label="File" value={file} change={setFile} hint="Absolute path, where no file is" required />
      <Rate value={rate} change={setRate} />
    </ActionDialog>
  );
}

export function Flatten({ device, close }: Props) {
  const [file, setFile] = useState('');
  const [rate, setRate] = useState('');
  return (
    <ActionDialog
      title={`Make one file of ${device.name}?`}
      confirm="Flatten"
      act={() => start(device, 'flatten', file, rate)}
      close={close}
    >
      <p>
        Its layers become one raw file while it is in use: a new one, or one in the place of its delta{' '}
        <code>{fileName(device.delta ?? '')}</code>.
      </p>
      <Field label="File" value={file} change={setFile} hint="Absolute path; none: in place of the delta" />
      <Rate value={rate} change={setRate} />
    </ActionDialog>
  );
}

export function Commit({ device, close }: Props) {
  const [rate, setRate] = useState('');
  return (
    <ActionDialog
      title={`Write the delta of ${device.name} into its base?`}
      confirm="Commit"
      isDangerous
      act={() => start(device, 'commit', '', rate)}
      close={close}
    >
      <p>
        <code>{fileName(device.file ?? '')}</code> is changed for good, while the device is in use, and the
        device has it from then on.
      </p>
      <Rate value={rate} change={setRate} />
    </ActionDialog>
  );
}

export function CancelCopy({ device, close }: Props) {
  const act = async (): Promise<undefined> => {
    await call<CopyAnswer>('DELETE', `/devices/${device.number}/copy`);
  };
  return (
    <ActionDialog
      title={`Cancel the copy of ${device.name}?`}
      confirm="Cancel the copy"
      isDangerous
      act={act}
      close={close}
    >
      <p>The device goes on with the file that it has; what was copied so far is gone.</p>
    </ActionDialog>
  );
}
