/** Daemons that end, or are taken over from, while a device is copied: the old file, whole, and nothing else. */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { takeOver } from '../helpers/take-over.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { until } from '../helpers/until.js';

const MIB = 1 << 20;
const SIZE = 4 * MIB;
t.setTimeout(180_000);

const ENDINGS = {
  SIGTERM: async (directory: TempDir, first: Daemon): Promise<Daemon> => {
    await first.stop();
    return await Daemon.start({ directory });
  },
  handover: takeOver,
};

const KINDS = {
  move: ({ client }: Daemon, files: TempDir, rate: number) => client.move(0, files.file('new'), rate),
  flatten: ({ client }: Daemon, _files: TempDir, rate: number) => client.flatten(0, { rate }),
  commit: ({ client }: Daemon, _files: TempDir, rate: number) => client.commit(0, rate),
};

for (const [ending, end] of Object.entries(ENDINGS)) {
  for (const [kind, begin] of Object.entries(KINDS)) {
    t.test(
      `${ending} in a ${kind}: the overlay is whole, nothing is left behind, and it can be done`,
      async (t) => {
        using files = new TempDir();
        using directory = new TempDir();
        const image = makeRandomFile(files.file('gold.img'), SIZE);
        const delta = files.file('top');
        const model = readFileSync(image);
        const first = await Daemon.start({ directory });
        await first.client.find({ file: image, overlay: { delta } });
        const client = await NbdRequests.open(first.socket);
        const write = async (at: number, length: number, byte: number): Promise<void> => {
          model.fill(byte, at, at + length);
          t.equal(await client.write(at, Buffer.alloc(length, byte)), 0);
        };
        await write(100, 2 * MIB, 1);
        await begin(first, files, MIB / 4);
        await until('some is copied', async () =>
          (await first.client.copyStatus(0)).doneBytes > 0 ? true : undefined,
        );
        await write(MIB, 5000, 2);
        await write(3 * MIB, 5000, 3);
        client.destroy();
        await using second = await end(directory, first);
        t.match(await second.client.device(0), { file: image, delta, layers: 2 });
        const content = async (): Promise<Buffer> =>
          (await (await NbdRequests.open(second.socket)).read(0, SIZE)).data;
        t.ok((await content()).equals(model), 'the overlay');
        t.strictSame(readdirSync(files.path).sort(), ['gold.img', 'top']);
        await begin(second, files, 0);
        await until('it is done', async () =>
          (await second.client.copyStatus(0)).state === 'done' ? true : undefined,
        );
        t.ok((await content()).equals(model), 'the new file');
        t.match(await second.client.device(0), { delta: null, layers: 1 });
        await first[Symbol.asyncDispose]();
      },
    );
  }
}
