/** A guest's file system on a device that it has attached by the floating address, under faults of the cluster. */
import { writeFileSync } from 'node:fs';
import type { Random } from '../../helpers/random.js';
import { TempDir } from '../../helpers/temp.js';
import { GUEST_DAEMON, guestDaemonEnvironment } from '../../vm/guest-daemon.js';
import { type GuestTestResult, runTests } from '../../vm/guest-tests.js';
import type { KernelVersion } from '../../vm/kernel-image.js';
import { kernelComplaints } from '../../vm/kernel-log.js';
import { archiveProgram, USE_ARCHIVE } from '../../vm/program-archive.js';
import { FAULTS, type FaultName } from '../faults/faults.js';
import type { Lab } from '../lab/lab.js';
import { begins, guestScript, isEnough, READY, roundIsOver } from './script.js';

const TAP = 'guest';
/** A hang limit, milliseconds. */
const LIMIT = 3_000_000;

/** Waits for what a guest says. */
class Console {
  #text = '';
  #shown = 0;
  #waiting: { readonly words: string; readonly resolve: () => void }[] = [];

  constructor(readonly show: (text: string) => void) {}

  readonly add = (text: string): void => {
    this.#text += text;
    const whole = this.#text.lastIndexOf('\n') + 1;
    for (const line of this.#text.slice(this.#shown, whole).split('\n'))
      if (line.includes('guest:')) this.show(line.trim());
    this.#shown = Math.max(whole, this.#shown);
    const heard = this.#waiting.filter(({ words }) => this.#text.includes(words));
    this.#waiting = this.#waiting.filter((one) => !heard.includes(one));
    for (const { resolve } of heard) resolve();
  };

  hears(words: string): Promise<void> {
    if (this.#text.includes(words)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ words, resolve }));
  }
}

export interface GuestReport {
  readonly result: GuestTestResult;
  readonly complaints: readonly string[];
}

/** One fault a round, each begun with all nodes on and all storage whole. */
export async function guestUnderFaults(
  lab: Lab,
  names: readonly FaultName[],
  { random, kernel, say }: { random: Random; kernel: KernelVersion; say: (text: string) => void },
): Promise<GuestReport> {
  using shared = new TempDir();
  await archiveProgram(shared);
  await lab.network.tap(TAP);
  const console = new Console(say);
  const test = {
    title: 'a file system over the floating address',
    script: guestScript(lab.devices[0] ?? '', names.length),
  };
  const guest = runTests(shared, [test], {
    kernel,
    memoryMiB: 1536,
    nbd: { nbdsMax: 4 },
    network: {
      tap: TAP,
      inside: (program, args) => ['nsenter', ...lab.network.inside(program, args)],
    },
    timeoutMs: LIMIT,
    environment: guestDaemonEnvironment,
    before: [GUEST_DAEMON, USE_ARCHIVE].join('\n'),
    onConsole: console.add,
  });
  const heard = (words: string): Promise<unknown> => Promise.race([console.hears(words), guest]);
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  void guest.then(over, over);
  await heard(READY);
  for (const [index, name] of names.entries()) {
    if (isOver) break;
    const round = index + 1;
    const active = await lab.settled();
    writeFileSync(shared.file(begins(round)), '');
    say(`${name} of ${active.name} ...`);
    const others = [...lab.nodes.values()].filter((node) => node !== active);
    await FAULTS[name]({ lab, active, others, random });
    const after = await lab.whole();
    say(`${name}: served by ${after.name}`);
    writeFileSync(shared.file(isEnough(round)), '');
    await heard(roundIsOver(round));
  }
  const { results, guest: machine } = await guest;
  const [result] = results;
  if (result === undefined) throw new Error(machine.console);
  return { result, complaints: kernelComplaints(result.kernelLog) };
}
