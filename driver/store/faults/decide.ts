/** Which faults a request meets: every rule looks at it, in their order. */
import { RuleCounters } from './counters.js';
import { delayAt } from './delay.js';
import { HitRing } from './hit-ring.js';
import { unitAt } from './random.js';
import type { FaultOperation, FaultsDescription, LiveRule } from './rule.js';

/** What is asked of a device, as rules see it. Bytes. */
export interface Asked {
  readonly operation: FaultOperation;
  readonly offset: number;
  readonly length: number;
  readonly fua: boolean;
}

/** What a request has met. */
export interface Met {
  /** Milliseconds that it is delayed. */
  delay: number;
  /** The rules that delay it. */
  readonly delayedBy: LiveRule[];
  /** What becomes of it then; undefined: it is carried out as it is. */
  outcome: LiveRule | undefined;
  /** Its place in the sequence of that rule. */
  index: number;
  /** Until that is released it waits. */
  heldBy: LiveRule | undefined;
  /** How often it was released when the request came. */
  releases: number;
}

/** What the numbers that a rule draws are for. */
const CHANCE = 0;

interface Live {
  readonly rule: LiveRule;
  readonly counters: RuleCounters;
}

/** The rules of a device, on one thread. */
export class FaultJudge {
  readonly #live: readonly Live[];
  readonly #byId: ReadonlyMap<string, Live>;
  readonly #ring: HitRing;

  /** `tell`: the control side has to look at the ring. */
  constructor(
    { rules, hits }: FaultsDescription,
    private readonly tell: () => void,
  ) {
    this.#live = rules.map((rule) => ({ rule, counters: new RuleCounters(rule.shared) }));
    this.#byId = new Map(this.#live.map((live) => [live.rule.id, live]));
    this.#ring = new HitRing(hits);
  }

  /** Decides of a request; to be asked once of each. Undefined: nothing happens to it. */
  judge(asked: Asked): Met | undefined {
    return this.#ring.lock.run(() => this.#judgeNext(asked));
  }

  /** The next one in the order of the device's requests, for all of its rules: else a `count` would hit whoever is faster. */
  #judgeNext(asked: Asked): Met | undefined {
    let met: Met | undefined;
    for (const { rule, counters } of this.#live) {
      if (!looksAt(rule, asked)) continue;
      const index = counters.see();
      const decides = rule.kind !== 'delay' && rule.kind !== 'hang';
      if (decides && met?.outcome !== undefined) continue;
      if (rule.kind === 'hang' && met?.heldBy !== undefined) continue;
      if (!meets(rule, index) || !counters.hit(rule.count ?? Number.MAX_SAFE_INTEGER)) continue;
      met ??= { delay: 0, delayedBy: [], outcome: undefined, index: 0, heldBy: undefined, releases: 0 };
      if (rule.kind === 'delay') {
        met.delay += rule.delay === null ? 0 : delayAt(rule.delay, rule.seed, index);
        met.delayedBy.push(rule);
      } else if (rule.kind === 'hang') {
        met.heldBy = rule;
        met.releases = counters.releases;
        counters.hold(1);
      } else {
        met.outcome = rule;
        met.index = index;
      }
      if (this.#ring.add({ ...asked, rule: rule.serial, index })) this.tell();
    }
    return met;
  }

  /** True while a rule holds what it met when it had been released so often. */
  holds(rule: LiveRule, releases: number): boolean {
    return this.#find(rule)?.counters.releases === releases;
  }

  /** True while the rule is there. */
  has(rule: LiveRule): boolean {
    return this.#find(rule) !== undefined;
  }

  /** Another one of the same name is another rule. */
  #find(rule: LiveRule): Live | undefined {
    const live = this.#byId.get(rule.id);
    return live?.rule.serial === rule.serial ? live : undefined;
  }
}

/** It is no longer held. */
export function letGo(rule: LiveRule): void {
  new RuleCounters(rule.shared).hold(-1);
}

function looksAt(rule: LiveRule, { operation, offset, length, fua }: Asked): boolean {
  if (!rule.operations.includes(operation)) return false;
  if (rule.fua && !fua) return false;
  if (rule.ranges.length === 0) return true;
  return rule.ranges.some((range) => offset < range.offset + range.length && range.offset < offset + length);
}

function meets(rule: LiveRule, index: number): boolean {
  const place = index - rule.after;
  if (place < 0 || (place + 1) % rule.every !== 0) return false;
  return rule.probability >= 1 || unitAt(rule.seed, index, CHANCE) < rule.probability;
}
