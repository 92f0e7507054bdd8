/** What the lab wants of this machine. */
import { existsSync } from 'node:fs';
import { skipBecause, skipUnless } from '../helpers/tools.js';
import { installPackages, missingPackages } from '../runner/packages.js';
import { SUITES } from '../runner/suites.js';
import { obstacle } from './lab/lab.js';

const PROGRAMS = [
  'corosync',
  'pacemakerd',
  'crm_resource',
  'glusterd',
  'mount.glusterfs',
  'nft',
  'ip',
  'nsenter',
  'unshare',
];
const IP_AGENT = '/usr/lib/ocf/resource.d/heartbeat/IPaddr2';

/** Why there is no lab here, as the `skip` option of a test takes it. */
export async function skipWithoutLab(): Promise<string | false> {
  const missing = skipUnless(...PROGRAMS);
  if (missing !== false) return missing;
  if (!existsSync(IP_AGENT)) return skipBecause('resource-agents is not installed');
  if (!existsSync('/dev/fuse')) return skipBecause('there is no /dev/fuse');
  const why = await obstacle();
  return why === undefined ? false : skipBecause(why);
}

/** Installs what is missing; throws when there can be no lab. */
export async function prepare(): Promise<void> {
  await installPackages(missingPackages(SUITES.filter(({ name }) => name === 'cluster')));
  const why = await skipWithoutLab();
  if (why !== false) throw new Error(why);
}
