import type { DaemonInfo } from '../../../../control/messages.js';
import { bytes, bytesPerSecond, clock, count, fileName, span } from '../format.js';
import { Chart } from '../parts/chart.js';
import { store, useStore } from '../store.js';
import { useLook } from '../use-look.js';

export function DaemonView() {
  const { overall, sample, unrecovered } = useStore();
  const { value } = useLook<DaemonInfo>('/daemon', 5);
  const daemon = value ?? store.daemon;
  if (daemon === undefined) return <p class="faint">Waiting for the daemon.</p>;
  const times = overall.map(({ at }) => at / 1000);
  const now = sample?.daemon;
  return (
    <>
      <div class="head">
        <h1>Daemon</h1>
        <p class="totals">
          <span>
            nbdloopd <b>{daemon.version}</b>
          </span>
          <span>
            process <b>{daemon.pid}</b>
          </span>
          <span>
            up for <b>{span(Date.now() - Date.parse(daemon.startedAt))}</b>
          </span>
        </p>
      </div>
      {daemon.settings.error !== null && (
        <p class="warning">Newer settings cannot be used: {daemon.settings.error}</p>
      )}
      <dl class="facts">
        <Fact name="Started">{clock(Date.parse(daemon.startedAt))}</Fact>
        <Fact name="Connections">{now?.connections ?? daemon.connections}</Fact>
        <Fact name="Threads a file system">{daemon.reactors}</Fact>
        <Fact name="Memory">{now === undefined ? '–' : bytes(now.memory)}</Fact>
        <Fact name="Processors used">{now === undefined ? '–' : now.processors.toFixed(2)}</Fact>
        <Fact name="Main thread busy">{now === undefined ? '–' : percent(now.mainThread)}</Fact>
        <Fact name="Open files, at most">{daemon.descriptorLimit ?? 'no limit'}</Fact>
        <Fact name="Settings read">{clock(Date.parse(daemon.settings.loadedAt))}</Fact>
        <div class="wide">
          <dt>Listens on</dt>
          <dd>
            {daemon.listeners.map((uri) => (
              <code key={uri}>{uri}</code>
            ))}
          </dd>
        </div>
      </dl>
      <h2>
        All devices <small>since the page was opened</small>
      </h2>
      <div class="charts">
        <Chart
          title="Requests a second"
          times={times}
          together="daemon"
          format={count}
          lines={[
            { name: 'read', colour: 'read', values: overall.map(({ reads }) => reads) },
            { name: 'write', colour: 'write', values: overall.map(({ writes }) => writes) },
          ]}
        />
        <Chart
          title="Bytes a second"
          isBytes
          times={times}
          together="daemon"
          format={bytesPerSecond}
          lines={[
            { name: 'read', colour: 'read', values: overall.map(({ readBytes }) => readBytes) },
            { name: 'write', colour: 'write', values: overall.map(({ writtenBytes }) => writtenBytes) },
          ]}
        />
        <Chart
          title="Memory"
          isBytes
          times={times}
          together="daemon"
          format={bytes}
          lines={[{ name: 'resident', colour: 'p50', values: overall.map(({ memory }) => memory) }]}
        />
        <Chart
          title="Main thread"
          times={times}
          together="daemon"
          format={(value) => `${count(value)} %`}
          lines={[{ name: 'busy', colour: 'p99', values: overall.map(({ mainThread }) => mainThread * 100) }]}
        />
      </div>
      {unrecovered.length > 0 && (
        <section>
          <h2>Devices that are down</h2>
          <ul class="plain">
            {unrecovered.map(({ number, name, file, message }) => (
              <li key={number}>
                <b>{name}</b> <code>{fileName(file)}</code> {message}
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
