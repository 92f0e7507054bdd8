import { LoopError } from '../../errno.js';
import type { HandedFile } from '../../io/backing-file.js';
import type { InnerDescription, MirrorDescription } from '../../store/description.js';
import type { Backing, OverlayParts } from '../backing.js';
import type { Target } from './target.js';

/** A backing that is being copied: it is what it was, and what is written to it goes into another file, too. */
export class MirrorFile implements Backing {
  readonly isCopied = true;

  constructor(
    readonly from: Backing,
    readonly to: Target['to'],
    readonly mirror: MirrorDescription,
    /** Ends the copy, and lets go of what it wrote. */
    private readonly abandon: () => Promise<void>,
  ) {}

  describe(_directIo: boolean): InnerDescription {
    return this.mirror;
  }

  get identity() {
    return this.from.identity;
  }

  get path(): string {
    return this.from.path;
  }

  /** A request waits for both. */
  get domain(): string {
    const domains = new Set([this.from, this.to].flatMap(({ domain }) => domain.split(' and ')));
    return [...domains].sort().join(' and ');
  }

  get fd(): number {
    return this.from.fd;
  }

  readonly usable = true;

  get writable(): boolean {
    return this.from.writable;
  }

  get dioAlignment(): number {
    return this.from.dioAlignment;
  }

  get tellsHoles(): boolean {
    return this.from.tellsHoles;
  }

  get warnings(): readonly string[] {
    return this.from.warnings;
  }

  get overlay(): OverlayParts | undefined {
    return this.from.overlay;
  }

  get handed(): HandedFile {
    return this.from.handed;
  }

  size(): Promise<bigint> {
    return this.from.size();
  }

  sync(): Promise<void> {
    return this.from.sync();
  }

  async setDirect(_on: boolean): Promise<void> {
    throw new LoopError('EBUSY', `${this.path} is being copied.`);
  }

  async close(): Promise<void> {
    try {
      await this.abandon();
    } finally {
      await this.from.close();
    }
  }
}
