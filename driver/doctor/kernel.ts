/** What the kernel has and allows: nbd, rights, io_uring, filters. */

import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { Uring } from '../io/uring.js';
import { bad, type Finding, good, note } from './finding.js';

const CAP_SYS_ADMIN = 21;
const CAP_SYS_RESOURCE = 24;
const SECCOMP_MODE_FILTER = '2';

export function checkModule(): Finding[] {
  const parameter = (name: string): string => text(`/sys/module/nbd/parameters/${name}`) ?? 'unknown';
  if (existsSync('/sys/module/nbd')) {
    const says = `the nbd driver is there: nbds_max=${parameter('nbds_max')}, max_part=${parameter('max_part')}`;
    if (parameter('max_part') !== '0') return [good('nbd module', says)];
    return [note('nbd module', says, 'for partitions: modprobe -r nbd; modprobe nbd max_part=16')];
  }
  const known = ['modules.dep', 'modules.builtin'].some((list) =>
    /\/nbd\.ko/.test(text(`/lib/modules/${release()}/${list}`) ?? ''),
  );
  const says = `the kernel ${release()} ${known ? 'has not loaded its nbd module' : 'has no nbd module here'}`;
  const help = known
    ? 'modprobe nbd, or let the daemon do it as root'
    : 'devices are served to NBD clients, and none becomes /dev/nbdN; install the module on the host';
  return [note('nbd module', says, help)];
}

/** The one user namespace whose rights count for the kernel's devices maps every user to itself (user_namespaces(7)). */
const isInitialUserNamespace = (): boolean =>
  /^\s*0\s+0\s+4294967295\s*$/.test(text('/proc/self/uid_map') ?? '0 0 4294967295');

export function checkRights(): Finding[] {
  if (!isInitialUserNamespace()) {
    const says =
      'in a user namespace, where even root may not attach devices, nor go on where memory is short';
    return [note('rights', says, 'run the daemon outside of it; NBD clients are served here as well')];
  }
  const held = BigInt(`0x${status('CapEff') ?? '0'}`);
  const lacking = [
    ...((held >> BigInt(CAP_SYS_ADMIN)) & 1n ? [] : ['CAP_SYS_ADMIN (to attach devices)']),
    ...((held >> BigInt(CAP_SYS_RESOURCE)) & 1n ? [] : ['CAP_SYS_RESOURCE (to go on where memory is short)']),
  ];
  if (lacking.length === 0)
    return [good('rights', 'devices can be attached, and the memory of others waited for')];
  return [
    note('rights', `without ${lacking.join(' and ')}`, 'run the daemon as root, or as its systemd unit does'),
  ];
}

export function checkUring(): Finding[] {
  const ring = Uring.open(2);
  if (ring !== undefined) {
    ring.close();
    return [good('io_uring', 'can be used')];
  }
  const disabled = text('/proc/sys/kernel/io_uring_disabled');
  const because = disabled === undefined || disabled === '0' ? '' : ` (kernel.io_uring_disabled=${disabled})`;
  const help =
    because === ''
      ? "allow io_uring_setup in the container's seccomp profile; without it the daemon uses other calls"
      : 'sysctl kernel.io_uring_disabled=0; without it the daemon uses other calls';
  return [note('io_uring', `is refused${because}`, help)];
}

export function checkSeccomp(): Finding[] {
  if (status('Seccomp') !== SECCOMP_MODE_FILTER) return [good('seccomp', 'no filter')];
  return [note('seccomp', 'a filter is on, as in a container', 'what it refuses shows in the other lines')];
}

export function checkProcessor(): Finding[] {
  const { arch } = process;
  if (arch === 'x64' || arch === 'arm64') return [good('processor', arch)];
  return [bad('processor', `${arch} has other system call numbers`, 'use x64 or arm64')];
}

/** A line of /proc/self/status. */
const status = (field: string): string | undefined =>
  new RegExp(`^${field}:\\s*(\\S+)`, 'm').exec(text('/proc/self/status') ?? '')?.[1];

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
