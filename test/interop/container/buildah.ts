/** buildah with a storage of its own, which ends with the test: no image of the machine is seen or left behind. */
import { writeFileSync } from 'node:fs';
import { type RunningProcess, runOk, start } from '../../helpers/process.js';
import type { TempDir } from '../../helpers/temp.js';
import { tool } from '../../helpers/tools.js';

/** What the image says of itself; Docker's names. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Healthcheck: { readonly Test: readonly string[] };
  readonly ExposedPorts: Readonly<Record<string, object>>;
}

/** Runs in a chroot, with the machine's network: works where namespaces do not. */
const ISOLATION = ['--isolation', 'chroot'];

export class Buildah implements AsyncDisposable {
  readonly #global: readonly string[];
  readonly #containers: string[] = [];

  constructor(private readonly dir: TempDir) {
    writeFileSync(dir.file('policy.json'), '{ "default": [{ "type": "insecureAcceptAnything" }] }');
    writeFileSync(dir.file('registries.conf'), '');
    this.#global = [
      ...['--root', dir.file('storage'), '--runroot', dir.file('run'), '--storage-driver', 'vfs'],
      ...['--registries-conf', dir.file('registries.conf')],
    ];
  }

  /** Builds `context` with its Dockerfile, on a local image alone: there is no registry to ask. */
  build(context: string, name: string, options: readonly string[]): Promise<string> {
    const policy = ['--signature-policy', this.dir.file('policy.json')];
    return this.#ok(
      ['bud', ...ISOLATION, ...policy, '--pull-never', '--format', 'docker', '-t', name, ...options, context],
      250_000,
    );
  }

  /** An image that holds `root` and nothing else. */
  async imageOf(root: string, name: string): Promise<void> {
    const container = await this.container('scratch');
    await this.#ok(['copy', '--quiet', container, root, '/']);
    const policy = ['--signature-policy', this.dir.file('policy.json')];
    await this.#ok(['commit', '--quiet', ...policy, container, name]);
  }

  async config(image: string): Promise<ImageConfig> {
    return JSON.parse(await this.#ok(['inspect', '--type', 'image', image])).Docker.config;
  }

  /** A container of an image; its id. */
  async container(image: string): Promise<string> {
    const policy = ['--signature-policy', this.dir.file('policy.json')];
    const id = (await this.#ok(['from', '--pull-never', ...policy, image])).trim();
    this.#containers.push(id);
    return id;
  }

  /** Directory of its root file system. */
  async mount(container: string): Promise<string> {
    return (await this.#ok(['mount', container])).trim();
  }

  /** Runs a program in the container, as the image's user, with the image's environment. */
  start(container: string, words: readonly string[], options: readonly string[] = []): RunningProcess {
    return start(tool('buildah'), [
      ...this.#global,
      ...['run', ...ISOLATION, ...options, container, '--', ...words],
    ]);
  }

  async run(container: string, ...words: readonly string[]): Promise<string> {
    return await this.#ok(['run', ...ISOLATION, container, '--', ...words]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.#containers) await this.#ok(['rm', id]);
  }

  #ok(words: readonly string[], timeoutMs = 60_000): Promise<string> {
    return runOk(tool('buildah'), [...this.#global, ...words], { timeoutMs });
  }
}
