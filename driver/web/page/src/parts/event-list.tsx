/** What happened, the latest first. */

import type { DeviceEvent, FaultEvent, RemoteEvent } from '../../../../control/messages.js';
import { bytes, clock, fileName } from '../format.js';
import { type PageEvent, useStore } from '../store.js';
import { REMOTE_STATES } from './remote-state.js';

const WORDS: Readonly<Record<DeviceEvent['kind'], string>> = {
  add: 'was added',
  bind: 'serves',
  unbind: 'has let go of its file',
  change: 'was changed',
  remove: 'was removed',
};

export function EventList({
  device,
  limit,
  filter = '',
}: {
  device?: number;
  limit: number;
  filter?: string;
}) {
  const { events } = useStore();
  const shown: PageEvent[] = [];
  for (let at = events.length - 1; at >= 0 && shown.length < limit; at--) {
    const event = events[at];
    if (event !== undefined && isAbout(event, device) && textOf(event).toLowerCase().includes(filter))
      shown.push(event);
  }
  if (shown.length === 0) {
    return <p class="faint">{filter === '' ? 'Nothing happened yet.' : 'Nothing fits the filter.'}</p>;
  }
  return (
    <ol class="events">
      {shown.map((event) => (
        <li key={event.id} class={event.event.type}>
          <time dateTime={new Date(event.at).toISOString()}>{clock(event.at)}</time>
          <Sentence event={event} isNamed={device === undefined} />
        </li>
      ))}
    </ol>
  );
}

const isAbout = ({ event }: PageEvent, device: number | undefined): boolean =>
  device === undefined ||
  ((event.type === 'device' || event.type === 'fault') && event.event.device === device);

export function textOf({ event }: PageEvent): string {
  if (event.type === 'fault') return `loop${event.event.device} ${faultText(event.event)}`;
  if (event.type === 'remote') return `nbd${event.event.device} ${remoteText(event.event)}`;
  if (event.type !== 'device') return event.message;
  const { kind, status } = event.event;
  return `${status.name} ${WORDS[kind]} ${detailOf(event.event)}`;
}

const remoteText = ({ remote }: RemoteEvent): string =>
  remote === null ? 'is detached' : `is ${REMOTE_STATES[remote.state][1]}: ${remote.message ?? remote.uri}`;

function faultText({ fault, rule, operation, offset, length, missed }: FaultEvent): string {
  const where = length === 0 ? '' : ` of ${bytes(length)} at ${offset}`;
  return `met a fault: ${operation}${where}, ${fault} by rule ${rule}${missed > 0 ? `; ${missed} more before` : ''}`;
}

function detailOf({ kind, status }: DeviceEvent): string {
  if (kind === 'bind') {
    return `${fileName(status.file ?? '')}, ${bytes(status.size)}${status.readOnly ? ', read-only' : ''}`;
  }
  if (kind !== 'change' || status.file === null) return '';
  const flags = [
    status.directIo ? 'direct I/O' : '',
    status.autoclear ? 'lets go at the last close' : '',
    status.partscan ? 'partitions' : '',
  ];
  return `${[bytes(status.size), `blocks of ${status.blockSize}`, ...flags].filter(Boolean).join(', ')}`;
}

function Sentence({ event: { event }, isNamed }: { event: PageEvent; isNamed: boolean }) {
  if (event.type === 'lock-report') {
    return (
      <span>
        <a href="#/locks">Lock order</a> {event.message}
      </span>
    );
  }
  if (event.type === 'fault') {
    const { device } = event.event;
    return (
      <span>
        {isNamed && <a href={`#/devices/${device}`}>loop{device}</a>} {faultText(event.event)}
      </span>
    );
  }
  if (event.type === 'remote') {
    return (
      <span>
        <a href="#/remotes">nbd{event.event.device}</a> {remoteText(event.event)}
      </span>
    );
  }
  if (event.type === 'note') return <span>{event.message}</span>;
  const { kind, device, status } = event.event;
  return (
    <span>
      {isNamed && <a href={`#/devices/${device}`}>{status.name}</a>} {WORDS[kind]}{' '}
      <span class="detail">{detailOf(event.event)}</span>
    </span>
  );
}
