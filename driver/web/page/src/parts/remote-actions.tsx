/** Attaching an export anywhere by its address, and taking it out of the kernel again. */

import { useState } from 'preact/hooks';
import type { RemoteAttachRequest, RemoteStatus } from '../../../../control/messages.js';
import { call } from '../api.js';
import { store } from '../store.js';
import { ActionDialog, Check, Field } from './dialog.js';
import { numberValue } from './size-field.js';

export type RemoteAction =
  | { readonly kind: 'attach' }
  | { readonly kind: 'detach'; readonly remote: RemoteStatus };

export function RemoteActionFor({ action, close }: { action: RemoteAction; close: () => void }) {
  return action.kind === 'attach' ? (
    <Attach close={close} />
  ) : (
    <Detach remote={action.remote} close={close} />
  );
}

function Attach({ close }: { close: () => void }) {
  const [uris, setUris] = useState('');
  const [connections, setConnections] = useState('');
  const [deadTimeout, setDeadTimeout] = useState('');
  const [readOnly, setReadOnly] = useState(false);
  const [ca, setCa] = useState('');
  const act = async (): Promise<string> => {
    const request: RemoteAttachRequest = {
      uris: uris.split(/\s+/).filter(Boolean),
      ...(connections !== '' && { connections: numberValue(connections) }),
      ...(deadTimeout !== '' && { deadTimeout: numberValue(deadTimeout) }),
      ...(readOnly && { readOnly }),
      ...(ca !== '' && { tls: { ca } }),
    };
    const remote = await call<RemoteStatus>('POST', '/remotes', request);
    store.putRemote(remote.number, remote);
    return `${remote.node ?? `/dev/nbd${remote.number}`} is ${remote.uri}.`;
  };
  return (
    <ActionDialog title="Attach an export of another host" confirm="Attach" act={act} close={close}>
      <Field
        label="Address"
        value={uris}
        change={setUris}
        hint="nbd://HOST/NAME, nbds://…; several of one export, with blanks between, are tried in turn"
        required
      />
      <div class="pair">
        <Field
          label="Connections"
          value={connections}
          change={setConnections}
          hint="1 to 16; none: 1"
          inputMode="numeric"
        />
        <Field
          label="Dead timeout"
          value={deadTimeout}
          change={setDeadTimeout}
          hint="Seconds that requests wait for it; none: 120"
          inputMode="numeric"
        />
      </div>
      <Field
        label="Authorities"
        value={ca}
        change={setCa}
        hint="nbds: PEM file on the daemon's machine; none: the machine's own"
      />
      <Check label="Read-only" value={readOnly} change={setReadOnly} />
    </ActionDialog>
  );
}

function Detach({ remote, close }: { remote: RemoteStatus; close: () => void }) {
  const [force, setForce] = useState(false);
  const act = async (): Promise<undefined> => {
    await call('DELETE', `/remotes/${remote.number}${force ? '?force=true' : ''}`);
    store.putRemote(remote.number, null);
  };
  return (
    <ActionDialog
      title={`Take ${remote.node ?? `/dev/nbd${remote.number}`} out of the kernel?`}
      confirm="Detach"
      isDangerous
      act={act}
      close={close}
    >
      <p>
        <code>{remote.uri}</code> is there as before for others.
      </p>
      <Check label="Now, whoever has it open: they get I/O errors" value={force} change={setForce} />
    </ActionDialog>
  );
}
