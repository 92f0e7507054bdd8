/** Turns of a plain phase, at first. */
const PLAIN_TURNS = 128;
/** Turns of a plain phase, at most: how long a client that gains nothing is left alone. */
const MAX_PLAIN_TURNS = 4096;
/** Microseconds of the pause that shows how many requests a client has in flight. */
const PROBE = 100;
/** Pauses of that kind. */
const PROBES = 4;
/** Microseconds of a pause at most. */
const MAX_PAUSE = 200;
/** Pauses of a gathering phase. */
const GATHERING_PAUSES = 1024;
/** Milliseconds without a request after which a client was idle. */
const IDLE = 1;
/** Pauses after which their effect is looked at, each time. */
const WATCHED = 64;
/** Share of what a client has in flight that is to gather: it has the rest to go through meanwhile. */
const GATHERED = 0.75;
/** Requests that a pause must bring. */
const SEVERAL = 3;
/** A client that is this much slower than it was without pauses is held up by them. */
const SLOWER = 1.2;

const Phase = { PLAIN: 0, PROBE: 1, GATHER: 2 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/**
 * Tells when a client that has several requests in flight is the slower side: each request it sends would be served
 * and answered alone, while a core looks for the next one. It is then better to sleep while some of what the client
 * may have in flight gathers, and to serve that at once. The client is not charged for the wake-up: a timer does it.
 *
 * Phases take turns. A plain one measures the client's pace; a few long pauses show how much it has in flight; then
 * pauses are made as long as both allow. A client that they slow down, or that has too little in flight, is left alone
 * for twice as long each time.
 */
export class Gathering {
  #phase: Phase = Phase.PLAIN;
  #plainTurns = PLAIN_TURNS;
  /** Of the present phase. */
  #turns = 0;
  #requests = 0;
  #since = 0;
  /** Milliseconds: the last turn of a plain phase. */
  #last = 0;
  /** Microseconds a request took the client in the last plain phase. */
  #pace = 0;
  /** Microseconds that a pause is asked for; 0: none is. */
  #pause = 0;
  /** Requests that a pause is to bring. */
  #wanted = 0;
  /** Microseconds that the last one took: the timer and the wake-up come late. */
  #slept = 0;

  /** After a turn that served so many requests, at such a time (milliseconds): microseconds to pause; 0 is not at all. */
  next(requests: number, now: number): number {
    switch (this.#phase) {
      case Phase.PLAIN:
        return this.#measure(requests, now);
      case Phase.PROBE:
        return this.#decide(requests, now);
      case Phase.GATHER:
        return this.#gather(requests, now);
    }
  }

  /** Pauses are being made to gather requests. */
  get isOn(): boolean {
    return this.#phase === Phase.GATHER;
  }

  /** A pause took so many microseconds. */
  slept(micros: number): void {
    this.#slept = micros;
  }

  #measure(requests: number, now: number): number {
    // A client that had nothing to ask for a while: its pace is to be measured anew.
    if (now - this.#last > IDLE) this.#turns = this.#requests = 0;
    this.#last = now;
    if (this.#turns === 0) this.#since = now;
    else this.#requests += requests;
    if (++this.#turns <= this.#plainTurns) return 0;
    // Turns of several requests: the client is the faster side.
    if (this.#requests > this.#plainTurns * SEVERAL) return this.#leaveAlone(now);
    this.#pace = ((now - this.#since) * 1000) / this.#requests;
    return this.#enter(Phase.PROBE, PROBE, now);
  }

  /** The first sleep after a busy time takes longest: the last of several says what a pause costs. */
  #decide(requests: number, now: number): number {
    this.#requests = Math.max(this.#requests, requests);
    if (++this.#turns < PROBES) return PROBE;
    const late = this.#slept - PROBE;
    this.#wanted = this.#requests * GATHERED;
    const pause = Math.min(MAX_PAUSE, this.#wanted * this.#pace - late);
    if (this.#wanted < SEVERAL || pause <= 0) return this.#leaveAlone(now);
    return this.#enter(Phase.GATHER, pause, now);
  }

  #gather(requests: number, now: number): number {
    this.#requests += requests;
    this.#turns++;
    if (this.#turns % WATCHED === 0) {
      const pace = ((now - this.#since) * 1000) / this.#requests;
      if (pace > this.#pace * SLOWER || this.#requests < this.#turns * SEVERAL) return this.#leaveAlone(now);
    }
    if (this.#turns < GATHERING_PAUSES) return this.#correct(requests);
    this.#plainTurns = PLAIN_TURNS;
    return this.#enter(Phase.PLAIN, 0, now);
  }

  /** Serving takes its time too, in which requests gather. */
  #correct(requests: number): number {
    const correction = ((this.#wanted - requests) * this.#pace) / 8;
    this.#pause = Math.min(MAX_PAUSE, Math.max(1, this.#pause + correction));
    return this.#pause;
  }

  #leaveAlone(now: number): number {
    this.#plainTurns = Math.min(MAX_PLAIN_TURNS, this.#plainTurns * 2);
    return this.#enter(Phase.PLAIN, 0, now);
  }

  #enter(phase: Phase, pause: number, now: number): number {
    this.#phase = phase;
    this.#pause = pause;
    this.#turns = this.#requests = 0;
    this.#since = now;
    return pause;
  }
}
