/** What a daemon does that has hardly any descriptors left. */
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(120_000);
const LIMIT = 256;

t.test(
  'at the limit of open files clients are refused, and the control socket goes on',
  {
    skip: skipUnless('prlimit'),
  },
  async (t) => {
    using files = new TempDir();
    await using daemon = await Daemon.start({
      devices: [makeSparseFile(files.file('a'), 1 << 20)],
      under: ['prlimit', `--nofile=${LIMIT}`],
    });
    const sockets: Socket[] = [];
    const ended = new Set<Socket>();
    for (let i = 0; i < LIMIT; i++) {
      const socket = connect(daemon.socket);
      socket.on('error', () => {});
      socket.on('close', () => ended.add(socket));
      socket.resume();
      sockets.push(socket);
    }
    await until('clients are turned away', async () => (ended.size > 0 ? true : undefined));
    t.equal((await daemon.client.daemon()).descriptorLimit, LIMIT);
    const { number } = await daemon.client.find({ file: makeSparseFile(files.file('b'), 1 << 20) });
    await daemon.client.clear(number);
    const lines = daemon.process.stderr.split('\n').filter((line) => line.includes('refused a connection'));
    t.ok(lines.length > 0 && lines.length < 20, `${lines.length} lines`);
    t.match(lines[0], /open files: \d+ of 256 \(RLIMIT_NOFILE, LimitNOFILE=\)/);
    for (const socket of sockets) socket.destroy();
  },
);
