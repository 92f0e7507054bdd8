/** nbdloop power-cut, mark and replay. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { PowerCutRequest } from '../control/messages.js';
import { connectDaemon, deviceNumber } from './device-name.js';
import { CliError } from './fail.js';
import { count } from './fault-words.js';
import { print } from './print.js';

type Define = (name: string, description: string) => Command;

export function addPowerCut(define: Define): void {
  interface Options {
    readonly control?: string;
    readonly keep?: 'none' | 'all' | 'random';
    readonly seed?: string;
    readonly tear?: true;
    readonly json?: true;
  }
  define('power-cut', 'cut the power of a device: every session ends, what was not flushed is lost')
    .argument('<device>', 'loopN or /dev/nbdN')
    .addOption(
      new Option('--keep <what>', 'of what was not made durable (default: none)').choices([
        'none',
        'all',
        'random',
      ]),
    )
    .option('--seed <n>', 'what is kept follows from it; drawn unless given')
    .option('--tear', 'of a write, some sectors may be kept and others not')
    .option('--json', 'print what is left as JSON')
    .action(async (device: string, { control, json, keep, seed, tear }: Options) => {
      const daemon = connectDaemon(control);
      const number = await deviceNumber(device, daemon);
      const request: PowerCutRequest = {
        ...(keep !== undefined && { keep }),
        ...(seed !== undefined && { seed: count('a seed', seed) }),
        ...(tear === true && { tear }),
      };
      const left = await daemon.powerCut(number, request);
      if (json === true) print(`${JSON.stringify(left, null, 2)}\n`);
      else {
        const torn = left.torn === 0 ? '' : `, ${left.torn} of them in part`;
        const chance = left.keep === 'random' ? ` (seed ${left.seed})` : '';
        print(
          `loop${number}: ${left.writes} writes were not durable, ${left.kept} were kept${torn}${chance}\n`,
        );
      }
    });
}

export function addMark(define: Define): void {
  define('mark', 'note a name in the log of writes of a device')
    .argument('<device>', 'loopN or /dev/nbdN')
    .argument('<name>', 'up to 479 bytes')
    .action(async (device: string, name: string, { control }: { readonly control?: string }) => {
      const daemon = connectDaemon(control);
      await daemon.mark(await deviceNumber(device, daemon), name);
    });
}

export function addReplay(program: Command): void {
  interface Options {
    readonly onto?: string;
    readonly to?: string;
    readonly toEntry?: string;
    readonly eachFlush?: string;
    readonly inPlace?: true;
    readonly list?: true;
  }
  program
    .command('replay')
    .description('write a log of writes (dm-log-writes) onto a file: no daemon is needed')
    .helpOption('-h, --help', 'print this help')
    .argument('<log>', 'what nbdlosetup --log-writes, or the kernel, has written')
    .option('--onto <file>', 'what is written: as large as the device, and as it was when the log began')
    .addOption(new Option('--to <mark>', 'end behind this mark').conflicts('toEntry'))
    .option('--to-entry <n>', 'end behind so many entries')
    .option(
      '--each-flush <command>',
      'run this at each flush, the image being $NBDLOOP_IMAGE, and end where it fails',
    )
    .option('--in-place', 'the command has the file itself; else a copy, which it may change')
    .option('--list', 'print the entries, and write nothing')
    .action(async (log: string, { onto, to, toEntry, eachFlush, inPlace, list }: Options) => {
      // It makes system calls, which the other commands need not load.
      const { listed, replay } = await import('../replay/replay.js');
      if (list === true) {
        print(listed(resolve(log)));
        return;
      }
      if (onto === undefined) throw new CliError('EINVAL', 'replay: name a file with --onto, or --list');
      const { entries, checks, failed } = replay({
        log: resolve(log),
        onto: resolve(onto),
        toMark: to ?? null,
        toEntry: toEntry === undefined ? null : count('a number of entries', toEntry),
        check: eachFlush ?? null,
        inPlace: inPlace === true,
      });
      const checked = eachFlush === undefined ? '' : `, checked at ${checks} flushes`;
      if (failed === null) print(`${entries} entries replayed${checked}\n`);
      else {
        process.stderr.write(
          `nbdloop: entry ${failed.entry} is the first at which the check fails (${failed.status}); checked at ${checks} flushes\n`,
        );
        process.exitCode = 1;
      }
    });
}
