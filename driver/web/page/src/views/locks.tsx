/** The order in which locks are taken: a graph, the same as a table, and each mistake with both stacks. */

import type {
  LockClassJson,
  LockdepAnswer,
  LockEdgeJson,
  LockHolderJson,
} from '../../../../control/messages.js';
import { count, duration } from '../format.js';
import { BOX, layOut } from '../lock-layout.js';
import { Table } from '../parts/table.js';
import { useLook } from '../use-look.js';

type LockReport = LockdepAnswer['reports'][number];
type LockSite = LockReport['subject'];

const KINDS = { declared: 'declared', undeclared: 'not declared', wait: 'waits for I/O' } as const;

export function Locks() {
  const { value } = useLook<LockdepAnswer>('/lockdep');
  if (value === undefined) return <p class="faint">Waiting for the daemon.</p>;
  const { classes, edges, holders, reports } = value;
  return (
    <>
      <div class="head">
        <h1>Lock order</h1>
        <p class="totals">
          <span>
            <b>{edges.filter((edge) => edge.count > 0).length}</b> of{' '}
            {edges.filter(({ kind }) => kind !== 'wait').length} edges seen
          </span>
          <span class={reports.length > 0 ? 'bad-text' : undefined}>
            <b>{reports.length === 0 ? 'no' : reports.length}</b>{' '}
            {reports.length === 1 ? 'report' : 'reports'}
          </span>
        </p>
      </div>
      {reports.map((report) => (
        <Report key={`${report.kind} ${report.message}`} report={report} />
      ))}
      <div class="columns locks">
        <Graph classes={classes} edges={edges} />
        <div>
          <section>
            <h2>Held or waited for now</h2>
            <Holders holders={holders} />
          </section>
          <section>
            <h2>Classes</h2>
            <Table
              label="Lock classes"
              rows={classes}
              id={({ name }) => name}
              empty="None."
              columns={[
                { name: 'Class', cell: ({ name, guards }) => <span title={guards}>{name}</span> },
                { name: 'In the kernel', cell: ({ kernelName }) => <code>{kernelName}</code> },
                { name: 'Acquired', cell: ({ acquires }) => count(acquires), isNumber: true },
                { name: 'Waited', cell: ({ contended }) => count(contended), isNumber: true },
              ]}
            />
          </section>
        </div>
      </div>
      <section>
        <h2>Edges</h2>
        <Table
          label="Edges of the lock order"
          rows={edges}
          id={({ from, to, kind }) => `${from} ${to} ${kind}`}
          empty="None."
          columns={[
            { name: 'Held', cell: ({ from }) => from },
            { name: 'Then acquired', cell: ({ to }) => to },
            {
              name: 'Times',
              cell: (edge) => (edge.kind === 'wait' ? '–' : count(edge.count)),
              isNumber: true,
            },
            {
              name: 'Kind',
              cell: (edge) =>
                edge.reported ? <b class="bad-text">{KINDS[edge.kind]}, reported</b> : KINDS[edge.kind],
            },
            {
              name: 'First seen',
              cell: ({ first }) =>
                first === null ? (
                  <span class="faint">not seen</span>
                ) : (
                  <span>
                    {first.task} <code class="faint">{first.to.stack[0] ?? ''}</code>
                  </span>
                ),
            },
          ]}
        />
      </section>
    </>
  );
}

function Graph({ classes, edges }: { classes: readonly LockClassJson[]; edges: readonly LockEdgeJson[] }) {
  const { width, height, boxes, edges: drawn } = layOut(classes, edges);
  const byName = new Map(classes.map((one) => [one.name, one]));
  const reported = edges.filter((edge) => edge.reported).map(({ from, to }) => `${from} to ${to}`);
  const label = `The lock order: ${edges.length} edges between ${classes.length} classes; ${
    reported.length === 0 ? 'none is reported' : `reported: ${reported.join(', ')}`
  }. The table below has them all.`;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <figure class="graph" tabIndex={0}>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        style={{ maxWidth: `${width}px` }}
        role="img"
        aria-label={label}
      >
        <defs>
          {['seen', 'unseen', 'wait', 'reported'].map((kind) => (
            <marker
              key={kind}
              id={`arrow-${kind}`}
              class={kind}
              viewBox="0 0 8 8"
              refX="6"
              refY="4"
              markerWidth="7"
              markerHeight="7"
              orient="auto"
            >
              <path d="M0 0L8 4L0 8Z" />
            </marker>
          ))}
        </defs>
        {drawn.map(({ edge, path, label: place }) => {
          const kind = kindOf(edge);
          const text = edge.kind === 'wait' ? 'waits' : count(edge.count);
          return (
            <g key={`${edge.from} ${edge.to} ${edge.kind}`} class={`edge ${kind}`}>
              <path d={path} marker-end={`url(#arrow-${kind})`} />
              {(edge.count > 0 || edge.kind === 'wait') && (
                <>
                  <rect
                    x={place.x - 4 - text.length * 3.6}
                    y={place.y - 9}
                    width={8 + text.length * 7.2}
                    height={18}
                    rx={9}
                  />
                  <text x={place.x} y={place.y + 4}>
                    {text}
                  </text>
                </>
              )}
            </g>
          );
        })}
        {boxes.map(({ name, x, y }) => {
          const lock = byName.get(name);
          const isBusy = (lock?.held ?? 0) + (lock?.waiting ?? 0) > 0;
          return (
            <g key={name} class={`box${isBusy ? ' busy' : ''}`}>
              <rect x={x} y={y} width={BOX.width} height={BOX.height} rx={7} />
              <text x={x + BOX.width / 2} y={y + 20} class="name">
                {name}
              </text>
              <text x={x + BOX.width / 2} y={y + 36} class="kernel">
                {lock?.kernelName}
              </text>
            </g>
          );
        })}
      </svg>
      <figcaption class="legend">
        <span class="seen">seen, with how often</span>
        <span class="unseen">declared, not seen</span>
        <span class="wait">waits for I/O</span>
        <span class="reported">reported</span>
      </figcaption>
    </figure>
  );
}

function kindOf({ kind, reported, count: times }: LockEdgeJson): 'seen' | 'unseen' | 'wait' | 'reported' {
  if (kind === 'wait') return 'wait';
  if (reported) return 'reported';
  return times > 0 ? 'seen' : 'unseen';
}

function Holders({ holders }: { holders: readonly LockHolderJson[] }) {
  return (
    <Table
      label="Locks that are held or waited for"
      rows={[...holders].sort((a, b) => b.since - a.since).slice(0, 40)}
      id={(holder) => `${holder.task} ${holder.lockClass} ${holder.name} ${holder.state}`}
      empty="None at this moment."
      columns={[
        { name: 'Lock', cell: ({ lockClass, name }) => `${lockClass} of ${name}` },
        {
          name: 'State',
          cell: ({ state }) => (state === 'waiting' ? <b class="warn-text">waiting</b> : state),
        },
        { name: 'For', cell: ({ since }) => duration(since * 1000), isNumber: true },
        { name: 'Task', cell: ({ task }) => task },
      ]}
    />
  );
}

function Report({ report }: { report: LockReport }) {
  const other = report.conflict ?? report.held.at(-1) ?? null;
  return (
    <section class="report" aria-label="Report">
      <h2>
        {report.message} <small>{report.count > 1 && `seen ${report.count} times`}</small>
      </h2>
      <p>
        {report.kind}: <code>{report.chain.join(' → ')}</code>
      </p>
      <div class="stacks">
        <Stack title="Acquired here" site={report.subject} />
        {other !== null && <Stack title="While this was held" site={other} />}
      </div>
      <details>
        <summary>As kernel developers know it</summary>
        <pre>{report.text}</pre>
      </details>
    </section>
  );
}

function Stack({ title, site }: { title: string; site: LockSite }) {
  return (
    <div>
      <h3>
        {title}: {site.lockClass} of {site.name}
      </h3>
      <p class="faint">{site.task}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre tabIndex={0}>{site.stack.join('\n')}</pre>
    </div>
  );
}
