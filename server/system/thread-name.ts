/** Names of threads, as /proc/PID/task/TID/comm shows them: of what a thread that hangs waits for, nothing else tells. */
import koffi from 'koffi';

const PR_SET_NAME = 15;
/** Bytes, without the zero behind them (TASK_COMM_LEN). */
const LONGEST = 15;
/** Of a thread that serves several domains. */
const SEVERAL = 'several';

const prctl = koffi.load('libc.so.6').func('int prctl(int option, const char *name)') as (
  option: number,
  name: string,
) => number;

/** The name of the calling thread. */
export class ThreadName {
  #name = '';

  /** It serves something of this domain (`OpenedExport.domain`), too, or alone. */
  follow(domain: string, servesOthers: boolean): void {
    const name = domain.slice(0, LONGEST);
    const next = servesOthers && name !== this.#name ? SEVERAL : name;
    if (next === this.#name) return;
    this.#name = next;
    prctl(PR_SET_NAME, next);
  }
}
