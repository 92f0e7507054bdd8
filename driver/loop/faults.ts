import { randomInt } from 'node:crypto';
import { constants } from 'node:os';
import { LoopError } from '../errno.js';
import { storeBoard } from '../queue/store-board.js';
import type { WrapperDescription } from '../store/description.js';
import { checkRules } from '../store/faults/check-rules.js';
import { RuleCounters, ruleMemory } from '../store/faults/counters.js';
import { HitRing, hitMemory } from '../store/faults/hit-ring.js';
import type { FaultRule, GivenRule, LiveRule } from '../store/faults/rule.js';
import { arranged, wrapperOf } from './arrange.js';
import type { LoopCore } from './loop-core.js';
import { setWrappers } from './set-wrappers.js';
import type { FaultState } from './types.js';

/** Seeds that nobody chose are short enough to be typed. */
const DRAWN_SEEDS = 2 ** 32;

let lastSerial = 0;

/**
 * The fault rules of one device. They are part of what is bound, and gone with it. A change is one publication under the
 * freeze: requests see the rules before or those after, and never a part of them.
 */
class LoopFaults {
  readonly #hits = hitMemory();
  readonly #ring = new HitRing(this.#hits);
  /** By serial number: hits may be told when their rule is gone. */
  readonly #known = new Map<number, LiveRule>();
  #bell: number | undefined;

  constructor(private readonly core: LoopCore) {}

  /** The rules in force, and what they came to. */
  list(): FaultState[] {
    return this.#rules().map((rule) => {
      const { shared, serial: _serial, number: _number, ...rest } = rule;
      const { seen, hits, held } = new RuleCounters(shared);
      return { ...rest, seen, hits, held };
    });
  }

  /** All of them at once: each begins its sequence anew. Throws ENXIO, EINVAL. */
  set(given: readonly GivenRule[]): Promise<void> {
    return this.#change(() => this.#live(checked(given, [])));
  }

  /** Those that are there go on in their sequences. Throws ENXIO, EINVAL. */
  add(given: readonly GivenRule[]): Promise<void> {
    return this.#change((present) => [...present, ...this.#live(checked(given, present))]);
  }

  /** Throws ENXIO, ENOENT for a rule that is not there, and has changed nothing then. */
  remove(ids: readonly string[]): Promise<void> {
    return this.#change((present) => {
      for (const id of ids) this.#named(id, present);
      return present.filter(({ id }) => !ids.includes(id));
    });
  }

  /** What is in a hang goes on: by the rule of this name, or by all. Throws ENXIO, ENOENT. */
  release(id: string | undefined): void {
    this.core.bound();
    const rules = id === undefined ? this.#rules() : [this.#named(id, this.#rules())];
    for (const { shared } of rules) new RuleCounters(shared).release();
    this.core.host.onThaw();
  }

  /** What a binding with these rules publishes; undefined: nothing. Throws EINVAL. */
  described(given: readonly GivenRule[]): WrapperDescription | undefined {
    return this.#described(this.#live(checked(given, [])));
  }

  /** The device is removed. */
  close(): void {
    if (this.#bell !== undefined) storeBoard.takeOff(this.#bell);
  }

  #change(change: (present: readonly LiveRule[]) => readonly LiveRule[]): Promise<void> {
    // A mistake is told before anything waits.
    this.core.bound();
    change(this.#rules());
    return setWrappers(this.core, (wrappers) =>
      arranged(wrappers, 'faults', this.#described(change(wrapperOf(wrappers, 'faults')?.rules ?? []))),
    );
  }

  #rules(): readonly LiveRule[] {
    return wrapperOf(this.core.binding?.wrappers ?? [], 'faults')?.rules ?? [];
  }

  #named(id: string, rules: readonly LiveRule[]): LiveRule {
    const rule = rules.find((one) => one.id === id);
    if (rule !== undefined) return rule;
    throw new LoopError('ENOENT', `${this.core.name} has no fault rule '${id}'`);
  }

  #live(rules: readonly FaultRule[]): LiveRule[] {
    return rules.map((rule) => ({
      ...rule,
      serial: ++lastSerial,
      number: rule.errno === null ? 0 : constants.errno[rule.errno as keyof typeof constants.errno],
      shared: ruleMemory(),
    }));
  }

  #described(rules: readonly LiveRule[]): WrapperDescription | undefined {
    if (rules.length === 0) return undefined;
    this.#bell ??= storeBoard.hang(() => this.#tellHits());
    for (const rule of rules) this.#known.set(rule.serial, rule);
    return { kind: 'faults', rules, hits: this.#hits, bell: this.#bell };
  }

  #tellHits(): void {
    const { hits, missed } = this.#ring.take();
    for (const [place, { rule: serial, ...hit }] of hits.entries()) {
      const rule = this.#known.get(serial);
      if (rule === undefined) continue;
      const before = place === 0 ? missed : 0;
      this.core.host.announceHit(this.core, { ...hit, rule: rule.id, fault: rule.kind, missed: before });
    }
    const inForce = new Set(this.#rules().map(({ serial }) => serial));
    for (const serial of this.#known.keys()) if (!inForce.has(serial)) this.#known.delete(serial);
  }
}

const ofCores = new WeakMap<LoopCore, LoopFaults>();

/** The fault rules of a device. */
export function faultsOf(core: LoopCore): LoopFaults {
  const faults = ofCores.get(core) ?? new LoopFaults(core);
  ofCores.set(core, faults);
  return faults;
}

const checked = (given: readonly GivenRule[], present: readonly { readonly id: string }[]): FaultRule[] =>
  checkRules(given, present, () => randomInt(DRAWN_SEEDS));
