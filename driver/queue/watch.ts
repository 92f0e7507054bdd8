/**
 * What a request to a watched device meets before it is carried out: faults that delay it, hold it or make something else of it,
 * and limits that it has to wait for.
 */
import type { WholeRequest } from '../../server/backend.js';
import type { StoreDescription } from '../store/description.js';
import { FaultJudge, letGo, type Met } from '../store/faults/decide.js';
import type { LiveRule } from '../store/faults/rule.js';
import { LimitBuckets } from '../store/limits/limits.js';

/** What was decided of a request. It stays with it while it waits, also where the device changes meanwhile. */
export class Decision {
  isJudged = false;
  met: Met | undefined;
  /** When its delay is over, milliseconds of `performance.now()`. */
  delayEnd = 0;
  /** Of the limits that gave it a place in their queue; 0: none did. */
  limits = 0;
  /** When that place has its turn. */
  turn = 0;
  /** It is carried out, or was: what it took of the limits is used. */
  hasGoneOn = false;
  /** It was counted as one that had to wait. */
  isCounted = false;

  /** What becomes of it, and its place in that rule's sequence. */
  get outcome(): LiveRule | undefined {
    return this.met?.outcome;
  }

  /** It is no longer held by anything. */
  forget(): void {
    if (this.met?.heldBy !== undefined) letGo(this.met.heldBy);
    if (this.met !== undefined) this.met.heldBy = undefined;
  }
}

export const decisionOf = (request: WholeRequest): Decision | undefined =>
  request.decision as Decision | undefined;

/** The faults and limits that are published for a device, on one thread. Opened anew at every publication. */
export class Watch {
  readonly #judge: FaultJudge | undefined;
  readonly #limits: LimitBuckets | undefined;

  /** `ring`: tells the control side of hits, by the number of its bell. */
  constructor({ wrappers }: StoreDescription, ring: (bell: number) => void) {
    for (const wrapper of wrappers) {
      if (wrapper.kind === 'faults') this.#judge = new FaultJudge(wrapper, () => ring(wrapper.bell));
      else if (wrapper.kind === 'limits') this.#limits = new LimitBuckets(wrapper);
    }
  }

  /** False: the request has to wait, until its `due`. `now`: of `performance.now()`. */
  mayGoOn(request: WholeRequest, now: number): boolean {
    const decision = decisionOf(request) ?? new Decision();
    request.decision = decision;
    this.#judgeOnce(request, decision, now);
    if (this.#isHeld(decision)) {
      request.due = Number.POSITIVE_INFINITY;
      return false;
    }
    request.due = Math.max(this.#delayEnd(decision, now), this.#turn(request, decision, now));
    decision.hasGoneOn = request.due <= now;
    return decision.hasGoneOn;
  }

  /** It is not carried out: what it took of the limits is there for others. */
  drop({ operation, length }: WholeRequest, { limits, hasGoneOn }: Decision): void {
    if (hasGoneOn || limits === 0 || limits !== this.#limits?.id) return;
    this.#limits.giveBack(operation === 'read', limitedBytes(operation, length));
  }

  #judgeOnce(request: WholeRequest, decision: Decision, now: number): void {
    if (decision.isJudged) return;
    decision.isJudged = true;
    decision.met = this.#judge?.judge(request);
    decision.delayEnd = now + (decision.met?.delay ?? 0);
  }

  #isHeld(decision: Decision): boolean {
    const { met } = decision;
    if (met?.heldBy === undefined) return false;
    if (this.#judge?.holds(met.heldBy, met.releases) === true) return true;
    decision.forget();
    return false;
  }

  /** A delay ends with its rule. */
  #delayEnd({ met, delayEnd }: Decision, now: number): number {
    if (met === undefined || met.delay === 0) return 0;
    return met.delayedBy.some((rule) => this.#judge?.has(rule) !== true) ? now : delayEnd;
  }

  #turn(request: WholeRequest, decision: Decision, now: number): number {
    const { operation, length } = request;
    if (this.#limits === undefined || operation === 'flush') return 0;
    if (decision.limits !== this.#limits.id) {
      decision.limits = this.#limits.id;
      const bytes = limitedBytes(operation, length);
      decision.turn = now + this.#limits.take(operation === 'read', bytes, process.hrtime.bigint());
    }
    return decision.turn;
  }
}

/** TRIM and WRITE_ZEROES have none. */
const limitedBytes = (operation: WholeRequest['operation'], length: number): number =>
  operation === 'read' || operation === 'write' ? length : 0;
