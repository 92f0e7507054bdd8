/** nbdloop fault list, nbdloop limit: as text. */
import type { FaultDelay, FaultState, Limits } from '../control/messages.js';
import { type Cell, type Column, formatTable } from './table.js';

export function faultsText(rules: readonly FaultState[]): string {
  const columns: Column[] = [
    { name: 'RULE', align: 'left' },
    { name: 'FAULT', align: 'left' },
    { name: 'OPERATIONS', align: 'left' },
    { name: 'WHICH', align: 'left' },
    { name: 'SEED', align: 'right' },
    { name: 'SEEN', align: 'right' },
    { name: 'HITS', align: 'right' },
    { name: 'HELD', align: 'right' },
  ];
  const rows = rules.map((rule): Cell[] => [
    rule.id,
    whatOf(rule),
    rule.operations.join(','),
    whichOf(rule),
    String(rule.seed),
    String(rule.seen),
    String(rule.hits),
    String(rule.held),
  ]);
  return formatTable(columns, rows, { format: 'aligned', headings: true, title: 'faults', unicode: true });
}

function whatOf({ kind, errno, delay, sectors, to, bits }: FaultState): string {
  const detail = errno ?? (delay === null ? null : delayText(delay)) ?? sectors ?? to ?? bits;
  return detail === null ? kind : `${kind} ${detail}`;
}

function delayText(delay: FaultDelay): string {
  switch (delay.distribution) {
    case 'fixed':
      return `${delay.ms}ms`;
    case 'uniform':
      return `uniform:${delay.min}ms:${delay.max}ms`;
    case 'normal':
      return `normal:${delay.mean}ms:${delay.deviation}ms`;
    case 'pareto':
      return `pareto:${delay.min}ms:${delay.shape}`;
  }
}

function whichOf({ ranges, fua, after, every, probability, count }: FaultState): string {
  const tests = [
    ...ranges.map(({ offset, length }) => `${offset}:${length}`),
    ...(fua ? ['fua'] : []),
    ...(after > 0 ? [`after ${after}`] : []),
    ...(every > 1 ? [`every ${every}`] : []),
    ...(probability < 1 ? [`probability ${probability}`] : []),
    ...(count === null ? [] : [`count ${count}`]),
  ];
  return tests.join(' ') || 'all';
}

export function limitsText(limits: Limits): string {
  const lines = Object.entries(limits).map(([name, value]) => {
    const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return `${option.padEnd(12)} ${value === null ? (name.startsWith('burst') ? 'as burst' : 'none') : value}${unit(name, value)}\n`;
  });
  return lines.join('');
}

const unit = (name: string, value: number | null): string =>
  value === null
    ? ''
    : name.startsWith('burst')
      ? ' s'
      : name.startsWith('iops')
        ? ' requests/s'
        : ' bytes/s';
