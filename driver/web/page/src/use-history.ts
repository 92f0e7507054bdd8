/** What a device did over time: all of it once, then what is new. */

import { useEffect, useState } from 'preact/hooks';
import type { DeviceHistory, Rates } from '../../live-messages.js';
import { get, Refusal } from './api.js';
import { useStore } from './store.js';

/** What each tier remembers. */
const LENGTH = { fine: 300, coarse: 240 } as const;
type Tier = keyof typeof LENGTH;

export function useHistory(number: number, tier: Tier, isThere: boolean): DeviceHistory | undefined {
  const { sample, resyncs } = useStore();
  const [kept, keep] = useState<{ tier: Tier; resyncs: number; history: DeviceHistory } | undefined>();
  const known = kept?.tier === tier && kept.resyncs === resyncs ? kept.history : undefined;
  const at = sample?.at ?? 0;
  useEffect(() => {
    if (!isThere) return;
    if (known !== undefined && at - known.end < known.period / 2) return;
    let isWanted = true;
    const periods = known === undefined ? LENGTH[tier] : Math.ceil((at - known.end) / known.period) + 1;
    get<DeviceHistory>(
      `/devices/${number}/history?tier=${tier}&last=${Math.min(periods, LENGTH[tier])}`,
    ).then(
      (news) => {
        if (isWanted)
          keep({ tier, resyncs, history: known === undefined ? news : joined(known, news, LENGTH[tier]) });
      },
      (error: unknown) => {
        if (!(error instanceof Refusal)) throw error;
      },
    );
    return () => {
      isWanted = false;
    };
  }, [number, tier, isThere, at, resyncs, known]);
  return known ?? (kept?.tier === tier ? kept.history : undefined);
}

/** Those of `news` that are newer than what is known follow it. */
function joined(known: DeviceHistory, news: DeviceHistory, length: number): DeviceHistory {
  const added = Math.min(Math.round((news.end - known.end) / known.period), news.heat.length);
  if (added <= 0) return known;
  const join = <T>(before: readonly T[], after: readonly T[]): T[] =>
    [...before, ...after.slice(-added)].slice(-length);
  const fields = Object.keys(known.rates) as (keyof Rates)[];
  const rates: { -readonly [field in keyof Rates]: readonly number[] } = { ...known.rates };
  for (const field of fields) rates[field] = join(known.rates[field], news.rates[field]);
  return {
    period: known.period,
    end: news.end,
    rates,
    heat: join(known.heat, news.heat),
  };
}
