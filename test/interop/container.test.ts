import { existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { freePort } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipBecause, skipUnless, tool } from '../helpers/tools.js';
import { Buildah, type ImageConfig } from './container/buildah.js';
import { makeNodeRoot, NPM_CACHE } from './container/node-image.js';

t.setTimeout(280_000);

const BASE = 'localhost/nbdloop-test-node';
const IMAGE = 'localhost/nbdloop-test';
/** The user without rights that the image names. */
const USER = 65_532;
const MIB = 1 << 20;

const skip =
  skipUnless('buildah', 'nbdinfo', 'nbdcopy', 'npm', 'ldd') ||
  (process.getuid?.() === 0 ? false : skipBecause('a build in a chroot needs root'));

/** Everything below a directory of an image, links not followed. */
const namesIn = (root: string, directory: string): string[] =>
  existsSync(join(root, directory))
    ? readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    : [];

t.test('the Dockerfile builds an image that serves, and holds what that takes alone', { skip }, async (t) => {
  using dir = new TempDir();
  await using buildah = new Buildah(dir);
  mkdirSync(dir.file('root'));
  await makeNodeRoot(dir.file('root'));
  await buildah.imageOf(dir.file('root'), BASE);
  const cache = (await runOk('npm', ['config', 'get', 'cache'])).trim();
  await buildah.build(resolve('.'), IMAGE, [
    ...['--build-arg', `NODE_IMAGE=${BASE}`, '--volume', `${cache}:${NPM_CACHE}`],
  ]);
  const config = await buildah.config(IMAGE);
  const container = await buildah.container(IMAGE);

  await t.test('no build tools, no right to anything', async (t) => {
    const root = await buildah.mount(container);
    const programs = ['usr/local/bin', 'usr/bin', 'opt'].flatMap((name) => namesIn(root, name));
    t.ok(programs.includes('nbdloopd'), 'the look is at the right place');
    t.strictSame(
      programs.filter((name) => /(^|\/)(npm|npx|corepack|yarn|tsc|typescript|tap|gcc|cc|make)$/.test(name)),
      [],
      'no package manager and no compiler',
    );
    t.strictSame(namesIn(root, 'usr/local/lib'), []);
    t.strictSame(readdirSync(join(root, 'opt/nbdloop/dist')).sort(), ['bin', 'page'], 'no tests');
    t.equal(config.User, `${USER}:${USER}`);
    t.match(await buildah.run(container, 'id'), `uid=${USER} gid=${USER}`);
    t.equal(lstatSync(join(root, 'run/nbdloop')).mode & 0o777, 0o700);
    t.ok(config.ExposedPorts['10809/tcp']);
  });

  await t.test('it serves a file of its volume to the machine', async (t) => {
    const volume = dir.file('volume');
    mkdirSync(volume);
    const disk = makeSparseFile(join(volume, 'disk.img'), 4 * MIB);
    // As `docker run -v DIR:/srv/nbdloop` with a directory that the user of the image may write to.
    await runOk('chown', ['-R', `${USER}:${USER}`, volume]);
    const port = await freePort();
    // An address that nobody else reaches: the container has the machine's network.
    const listen = ['--listen', `127.0.0.1:${port}`];
    t.notOk(config.Entrypoint.includes('--listen'), 'unasked it listens on no address');
    const words = [...config.Entrypoint, ...listen, '--device', '/srv/nbdloop/disk.img'];
    t.not(await healthOf(container, buildah, config), 0, 'unhealthy while nothing serves');
    await using serving = buildah.start(container, words, ['--volume', `${volume}:/srv/nbdloop`]);
    await serving.waitForOutput(/loop0: \/srv\/nbdloop\/disk\.img \(4 MiB\)/);
    const uri = `nbd://127.0.0.1:${port}/loop0`;
    const { exports } = JSON.parse(await runOk(tool('nbdinfo'), ['--json', uri]));
    t.match(exports[0], { 'export-size': 4 * MIB, is_read_only: false });
    const image = makeSparseFile(dir.file('image'), 4 * MIB);
    await runOk('sh', ['-c', 'printf "through the container" | dd of="$1" conv=notrunc', 'sh', image]);
    await runOk(tool('nbdcopy'), ['--flush', image, uri]);
    await runOk('cmp', [image, disk]);
    t.equal(await healthOf(container, buildah, config), 0, 'the health check passes');
    const { daemon } = JSON.parse(await buildah.run(container, 'nbdloop', 'status', '--json'));
    const uid = await runOk('stat', ['-c', '%u', `/proc/${daemon.pid}`]);
    t.equal(uid.trim(), String(USER), 'the daemon has no rights');
    process.kill(daemon.pid, 'SIGTERM');
    t.match(await serving.wait(20_000), { status: 0, timedOut: false }, 'stopped as a container is');
  });
});

/** Exit status of the image's health check. */
async function healthOf(
  container: string,
  buildah: Buildah,
  { Healthcheck }: ImageConfig,
): Promise<number | null> {
  const [kind, ...words] = Healthcheck.Test;
  if (kind !== 'CMD') throw new Error(`a health check by ${kind} needs a shell`);
  await using check = buildah.start(container, words);
  return (await check.wait(30_000)).status;
}
