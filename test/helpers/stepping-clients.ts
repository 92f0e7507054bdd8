/**
 * Real clients of an export that stay while the server changes under them. Each reads the first sector when it is told to, and
 * says `STEP LETTER`; what a client does about a connection that ends is its own way.
 */

import { writeFileSync } from 'node:fs';
import { type RunningProcess, runOk, start } from './process.js';
import type { TempDir } from './temp.js';
import { tool } from './tools.js';

/** Debian's, which has libnbd's module. */
const PYTHON = '/usr/bin/python3';

export interface Where {
  readonly port: number;
  readonly exportName: string;
}

/** In both scripts below: waits for the next number in the file that is named first. */
const STEPS = `
import os, sys, time
def steps(path):
    done = 0
    while True:
        try: wanted = int(open(path).read() or 0)
        except FileNotFoundError: wanted = 0
        while done < wanted:
            done += 1
            yield done
        time.sleep(0.03)
def say(step, letter): os.write(1, f'{step} {letter}\\n'.encode())
`;

/** libnbd has no way of its own to connect again: as its users do it, with a handle for each connection. */
const LIBNBD = `${STEPS}
import nbd
def connected():
    h = nbd.NBD(); h.connect_uri(sys.argv[2]); return h
h = connected()
for step in steps(sys.argv[1]):
    while True:
        try:
            say(step, h.pread(512, 0)[:1].decode()); break
        except nbd.Error:
            time.sleep(0.1)
            try: h = connected()
            except nbd.Error: pass
`;

/** qemu's block layer with reconnect-delay: a request waits for the new connection. */
const QEMU = `${STEPS}
import subprocess
child = subprocess.Popen([sys.argv[2], '--image-opts', sys.argv[3]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, bufsize=0)
for step in steps(sys.argv[1]):
    child.stdin.write(b'read -v 0 512\\n')
    last = ''
    while True:
        line = child.stdout.readline().decode()
        if line == '' or 'failed' in line or 'rror' in line: say(step, line.strip() or last or 'ended'); break
        last = line.strip()
        words = line.replace('qemu-io>', '').split()
        if words and words[0] == '00000000:': say(step, bytes.fromhex(words[1])[:1].decode()); break
`;

/** Xen Orchestra's client, which connects again by itself. */
const VATES = `
import { readFileSync } from 'node:fs';
import NbdClient from '@vates/nbd-client';
const [steps, port, exportname] = process.argv.slice(2);
const client = new NbdClient({ address: '127.0.0.1', port: Number(port), exportname },
  { waitBeforeReconnect: 200, readBlockRetries: 30, reconnectRetry: 30 });
await client.connect();
for (let done = 0; ; ) {
  let wanted = 0;
  try { wanted = Number(readFileSync(steps, 'utf8')); } catch {}
  while (done < wanted) {
    done++;
    const block = await client.readBlock(0, 512);
    console.log(done, block.toString('latin1', 0, 1));
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
}
`;

/** What of the package's dependencies its protocol stands on; the others are Xen's. */
const VATES_PACKAGES = ['promise-toolbox@^0.21.0', '@vates/read-chunk@^1.2.1', '@xen-orchestra/log@^0.7.2'];
export const VATES_CLIENT = '@vates/nbd-client@3.6.0';

export class SteppingClient implements AsyncDisposable {
  #step = 0;

  private constructor(
    readonly name: string,
    private readonly process: RunningProcess,
    private readonly steps: string,
  ) {}

  static libnbd(dir: TempDir, { port, exportName }: Where): SteppingClient {
    const steps = dir.file('libnbd.steps');
    const uri = `nbd://127.0.0.1:${port}/${encodeURIComponent(exportName)}`;
    return new SteppingClient('libnbd', start(PYTHON, ['-c', LIBNBD, steps, uri]), steps);
  }

  static qemu(dir: TempDir, { port, exportName }: Where): SteppingClient {
    const steps = dir.file('qemu.steps');
    const server = `driver=nbd,server.type=inet,server.host=127.0.0.1,server.port=${port}`;
    const image = `${server},export=${exportName},reconnect-delay=60`;
    return new SteppingClient('qemu', start(PYTHON, ['-c', QEMU, steps, tool('qemu-io'), image]), steps);
  }

  /** Fetches the package, without what it needs for Xen alone. */
  static async vates(dir: TempDir, { port, exportName }: Where): Promise<SteppingClient> {
    const steps = dir.file('vates.steps');
    writeFileSync(dir.file('package.json'), '{ "type": "module", "private": true }');
    const npm = (...args: string[]) => runOk('npm', args, { cwd: dir.path, timeoutMs: 200_000 });
    const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'];
    await npm('install', ...quiet, ...VATES_PACKAGES);
    const [packed] = JSON.parse(await npm('pack', '--json', '--prefer-offline', VATES_CLIENT));
    const place = dir.file('node_modules/@vates/nbd-client');
    await runOk('mkdir', ['-p', place]);
    await runOk('tar', ['xzf', dir.file(packed.filename), '-C', place, '--strip-components', '1']);
    writeFileSync(dir.file('vates.mjs'), VATES);
    const args = ['vates.mjs', steps, String(port), exportName];
    return new SteppingClient('@vates/nbd-client', start(process.execPath, args, { cwd: dir.path }), steps);
  }

  /** The letter that the export begins with; what the client says in its place where it fails. */
  async read(): Promise<string> {
    const step = ++this.#step;
    writeFileSync(`${this.steps}.new`, String(step));
    await runOk('mv', [`${this.steps}.new`, this.steps]);
    const [, letter = ''] = await this.process.waitForOutput(new RegExp(`^${step} (\\S.*)\\n`, 'm'), 60_000);
    return letter;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}
