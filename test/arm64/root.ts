/** What an arm64 guest has for a root file system: Debian's packages, unpacked and not installed. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedTree, unpackWithDependencies } from '../vm/debian.js';

/** Where the guest mounts its disk. */
export const DISK = '/srv';

const PACKAGES = [
  ...['base-files', 'bash', 'coreutils', 'dash', 'findutils', 'grep', 'sed', 'tar', 'gzip', 'procps'],
  ...['util-linux', 'mount', 'e2fsprogs', 'fdisk', 'openssl', 'libstdc++6', 'libatomic1', 'diffutils'],
  ...['fio', 'nbd-client', 'libnbd-bin', 'curl'],
];

/** What an installed system would have been given by the packages' scripts. */
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
};

/** Path of the tree, from the cache or fetched. */
export function armRoot(): Promise<string> {
  const list = createHash('sha256')
    .update(JSON.stringify([PACKAGES, FILES]))
    .digest('hex');
  return cachedTree(`root-arm64-${list.slice(0, 8)}`, async (tree) => {
    await unpackWithDependencies(PACKAGES, 'arm64', tree);
    for (const name of ['dev', 'proc', 'sys', 'run', 'tmp', 'root', 'newroot', DISK])
      mkdirSync(join(tree, name), { recursive: true });
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(tree, name), text);
  });
}
