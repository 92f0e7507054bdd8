import type { Export, ExportInfo, ExportTable, OpenedExport } from '../../server/export.js';

/** An export in memory that counts who opened and who released it. */
export class FakeExport implements Export {
  opened = 0;
  released = 0;
  /** Thrown by `open` when set. */
  refusal: Error | undefined;
  /** `open` waits for it: the deferred open. */
  settled: Promise<void> = Promise.resolve();
  readonly #info: ExportInfo;

  constructor(
    readonly name: string,
    about: Partial<ExportInfo> = {},
  ) {
    this.#info = {
      name,
      description: `backing of ${name}`,
      size: 0x1_2345_6000,
      readOnly: false,
      fastZero: true,
      blockSizes: { minimum: 512, preferred: 4096, maximum: 32 * 1024 * 1024 },
      ...about,
    };
  }

  get names(): readonly [string] {
    return [this.name];
  }

  info(): ExportInfo {
    return this.#info;
  }

  async open(): Promise<OpenedExport> {
    await this.settled;
    if (this.refusal) throw this.refusal;
    this.opened++;
    return {
      info: this.#info,
      device: 0,
      shared: new SharedArrayBuffer(8),
      domain: () => '',
      names: () => this.names,
      release: async () => {
        this.released++;
      },
    };
  }
}

/** The first export is also the default one. */
export const fakeTable = (...exports: FakeExport[]): ExportTable => ({
  list: () => exports,
  find: (name) => (name === '' ? exports[0] : exports.find((entry) => entry.name === name)),
});
