#!/usr/bin/env -S -u NODE_OPTIONS -u NODE_EXTRA_CA_CERTS -u NODE_PATH -u NODE_V8_COVERAGE -u NODE_COMPILE_CACHE -u NODE_REDIRECT_WARNINGS -u NODE_ICU_DATA -u NODE_DEBUG -u OPENSSL_CONF node --inspect-port=[::1%none]:9229
/** mount.nbdloop(8): how mount(8) and /etc/fstab mount a file by way of a device of ours. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ControlClient } from '../control/client.js';
import { absolutePath } from '../file-name.js';
import { commandLine } from './arguments.js';
import { connectDaemon } from './device-name.js';
import { errnoOf, printError, runProgram } from './fail.js';
import { getopt, UsageError } from './getopt.js';
import { mountFile } from './mount.js';
import { type HelperOption, MOUNT_HELPER_OPTIONS, mountHelperHelp } from './mount-helper-options.js';
import { type MountPlan, planMount } from './mount-options.js';
import { mountsOf } from './mounts.js';

const PROGRAM = 'mount.nbdloop';
/** Of mount(8): used wrongly, and the mount failed. */
const WRONG_USE = 1;
const FAILED = 32;
/**
 * What the mount must be known by: systemd ends it before the daemon (a mount that needs the network), and umount(8) has
 * umount.nbdloop wait until the device is let go.
 */
const OUR_MARKS = ['_netdev', 'helper=nbdloop'];

async function main(words: readonly string[]): Promise<number> {
  let asked: Asked;
  try {
    asked = parse(words);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${PROGRAM}: ${error.message}\nTry '${PROGRAM} --help' for more information.\n`);
    return WRONG_USE;
  }
  if (asked.help) {
    process.stdout.write(mountHelperHelp('mount'));
    return 0;
  }
  try {
    return await mount(asked);
  } catch (error) {
    printError(PROGRAM, error);
    const mayFail = asked.options.split(',').includes('nofail') && errnoOf(error) === 'ENOENT';
    return mayFail ? 0 : FAILED;
  }
}

interface Asked {
  readonly help: boolean;
  readonly file: string;
  readonly directory: string;
  readonly options: string;
  readonly type: string | undefined;
  readonly fake: boolean;
  /** For mount(8): -n, -s, -v, -N. */
  readonly passed: readonly string[];
}

function parse(words: readonly string[]): Asked {
  const { options, operands } = getopt<HelperOption>(words, MOUNT_HELPER_OPTIONS.mount, ['help']);
  const has = (name: string): boolean => options.some(({ spec }) => spec.long === name);
  const values = (name: string): string[] =>
    options.flatMap(({ spec, value }) => (spec.long === name && value !== undefined ? [value] : []));
  const [file, directory, more] = operands;
  if (!has('help') && (file === undefined || directory === undefined || more !== undefined)) {
    throw new UsageError('a file and a directory are needed');
  }
  const subtype = values('types')
    .at(-1)
    ?.replace(/^nbdloop\.?/, '');
  const given = values('options').flatMap((list) => list.split(','));
  return {
    help: has('help'),
    file: file ?? '',
    directory: directory ?? '',
    options: [...given, ...(has('read-only') ? ['ro'] : [])].join(','),
    type: subtype === '' ? undefined : subtype,
    fake: has('fake'),
    passed: [
      ...(has('no-mtab') ? ['-n'] : []),
      ...(has('sloppy') ? ['-s'] : []),
      ...(has('verbose') ? ['-v'] : []),
      ...values('namespace').flatMap((namespace) => ['-N', namespace]),
    ],
  };
}

async function mount(asked: Asked): Promise<number> {
  const { file, directory, type, passed } = asked;
  const options = [asked.options, ...OUR_MARKS.filter((mark) => !asked.options.split(',').includes(mark))];
  const request = { file, directory, options: options.join(',') };
  const plan = planMount({ ...request, ...(type !== undefined && { type }) });
  if (asked.fake) return 0;
  const client = connectDaemon(plan.control);
  if (await isMounted(client, plan, directory)) return 0;
  return mountFile(PROGRAM, client, {
    plan: { ...plan, mountArguments: [...passed, ...plan.mountArguments] },
    directory,
  });
}

/** mount -a comes again and again, and can't tell by the file that its device is mounted there already. */
async function isMounted(client: ControlClient, plan: MountPlan, directory: string): Promise<boolean> {
  const top = mountsOf(readFileSync('/proc/self/mountinfo', 'latin1')).findLast(
    ({ target }) => target === resolve(directory),
  );
  const number = /^\/dev\/nbd(\d+)(?:p(\d+))?$/.exec(top?.source ?? '');
  if (number === null || mapped(number[2]) !== plan.partition) return false;
  const device = await client.device(Number(number[1])).catch(() => undefined);
  const { offset = '0', sizeLimit = '0' } = plan.config;
  return (
    device?.node === `/dev/nbd${number[1]}` &&
    device.file === absolutePath(plan.config.file) &&
    String(device.offset) === String(offset) &&
    String(device.sizeLimit) === String(sizeLimit)
  );
}

const mapped = (digits: string | undefined): number | undefined =>
  digits === undefined ? undefined : Number(digits);

runProgram(PROGRAM, () => main(commandLine()));
