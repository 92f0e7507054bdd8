import type { HandedFile } from '../io/backing-file.js';
import type { FileIdentity } from '../io/file-identity.js';
import type { RequestQueue } from '../queue/request-queue.js';
import type { WrapperDescription } from '../store/description.js';
import type { GivenRule } from '../store/faults/rule.js';
import type { Limits, LimitsChange } from '../store/limits/limits.js';
import type { Layer } from './backing.js';
import {
  isVolatile,
  logFileOf,
  mark,
  type PowerCut,
  type PowerCutResult,
  powerCut,
  setLog,
  setVolatile,
} from './bench.js';
import { loopChangeFd } from './change-fd.js';
import { type ForcedOutcome, loopClrFd, loRelease } from './clear.js';
import { loopConfigure } from './configure.js';
import { type CopyWish, loopCancelCopy, loopCommit, loopFlatten, loopMove } from './copy/copy.js';
import type { CopyStatus } from './copy/copy-job.js';
import { loopSetDio } from './direct-io.js';
import { faultsOf } from './faults.js';
import { clearByForce } from './forced-clear.js';
import { plainLayer } from './layers.js';
import { liftLimits, limitsOf, setLimits } from './limits.js';
import type { LoopCore } from './loop-core.js';
import { haveFileBack, loseFile } from './lost-file.js';
import { loOpen } from './open-release.js';
import { renewFile } from './renew-file.js';
import { loopResetDirty } from './reset-dirty.js';
import { loopSetBlockSize, loopSetCapacity, loopSetStatus } from './set-status.js';
import { setWrappers, type WrapperChange } from './set-wrappers.js';
import type { FaultState, LoopConfig, LoopSettings, LoopState, LoopStatus, WantedFile } from './types.js';

/**
 * A loop device: the operations of drivers/block/loop.c, by their names, on one device of a `LoopControl`.
 *
 * Every operation rejects with a LoopError whose errno is the kernel's; docs/semantics.md lists them in the order
 * in which they are checked. All of them may run side by side.
 */
export class LoopDevice {
  readonly #core: LoopCore;

  /** Made by `LoopControl` only. */
  constructor(core: LoopCore) {
    this.#core = core;
  }

  get number(): number {
    return this.#core.number;
  }

  /** 'loop' and the number. */
  get name(): string {
    return this.#core.name;
  }

  get state(): LoopState {
    return this.#core.state;
  }

  /** Sessions that have the device open, and clears in progress. */
  get openers(): number {
    return this.#core.openers.count;
  }

  get queue(): RequestQueue {
    return this.#core.queue;
  }

  /** What its requests may wait for: a file system, a disk; '' while nothing is bound. */
  get domain(): string {
    return this.#core.domain;
  }

  /** Counts an opener in. ENXIO when the device is being removed. `deferred: false` does not wait for a clear. */
  loOpen(options: { readonly deferred?: boolean } = {}): Promise<void> {
    return this.#core.task('open', () => loOpen(this.#core, { deferred: options.deferred ?? true }));
  }

  /**
   * Counts an opener out, and never waits for I/O. The last close of a device with autoclear clears it: before this
   * resolves where that waits for nothing, else, and with `deferred: false`, on its own time.
   */
  loRelease(options: { readonly deferred?: boolean } = {}): Promise<void> {
    return this.#core.task('release', () => loRelease(this.#core, { deferred: options.deferred ?? true }));
  }

  /** Resolves when no operation of the device is under way, also no clear that a last close has left behind. */
  idle(): Promise<void> {
    return this.#core.idle();
  }

  /** Binds a file. EBADF, ESTALE, EBUSY, EINVAL, EOVERFLOW. */
  loopConfigure(config: LoopConfig): Promise<void> {
    return this.#core.task('configure', () => loopConfigure(this.#core, config));
  }

  /** Swaps the file of a read-only device for one of the same size. ENXIO, EINVAL, EBADF, ESTALE. */
  loopChangeFd(file: string, meant: Omit<WantedFile, 'file'> = {}): Promise<void> {
    return this.#core.task('change_fd', () => loopChangeFd(this.#core, { ...meant, file }));
  }

  /** Lets the file go: now, or at the last close when somebody else has the device open; by force `clearByForce`. ENXIO. */
  loopClrFd(options: { readonly force?: boolean } = {}): Promise<ForcedOutcome> {
    if (options.force === true) return clearByForce(this.#core);
    return this.#core.task('clr_fd', () => loopClrFd(this.#core, { force: false }));
  }

  /** Its file is lost: nothing is served until `haveFileBack`. ENXIO. */
  loseFile(errno: number): Promise<void> {
    return this.#core.task('lose_file', () => loseFile(this.#core, errno));
  }

  /** Opens the file that was lost anew, with its lock. EBUSY, ESTALE, EBADF, ENXIO. */
  haveFileBack(): Promise<void> {
    return this.#core.task('have_file_back', () => haveFileBack(this.#core));
  }

  /** Opens its file once more, which takes the place of what is open (`renewFile`). ENXIO, EBUSY, EBADF, EROFS, ENOLCK. */
  renewFile(): Promise<void> {
    return this.#core.task('renew_file', () => renewFile(this.#core));
  }

  /** The errno by which its file is lost; undefined while it has it. */
  get lost(): number | undefined {
    return this.#core.lost;
  }

  /** Another host may take its file. */
  get isFenced(): boolean {
    return this.#core.binding?.isFenced ?? false;
  }

  /** The description that writes its file has its lock, or needs none; also while it is lost, and when nothing is bound. */
  async hasLock(): Promise<boolean> {
    const { lost, binding } = this.#core;
    if (lost !== undefined || binding?.file.hasLock === undefined) return true;
    return binding.file.hasLock();
  }

  /** ENXIO, EINVAL, EOVERFLOW. */
  loopSetStatus(settings: LoopSettings): Promise<void> {
    return this.#core.task('set_status', () => loopSetStatus(this.#core, settings));
  }

  /** ENXIO when not bound. Waits for nothing: what it tells of the file was read when the file was opened. */
  async loopGetStatus(): Promise<LoopStatus> {
    this.#core.bound();
    return this.#core.snapshot();
  }

  /** The device in whatever state it is. */
  async describe(): Promise<LoopStatus> {
    return this.#core.snapshot();
  }

  /** The same, at once. */
  snapshot(): LoopStatus {
    return this.#core.snapshot();
  }

  /**
   * True when zeroing a range of the file takes no time in proportion to its length, or is refused at once. A block
   * device may write the zeroes one by one without telling.
   */
  get zeroesFast(): boolean {
    return this.#core.binding?.file.identity.kind !== 'block';
  }

  /** The names of what it has open; none when nothing is bound. */
  get openPaths(): readonly string[] {
    const file = this.#core.binding?.file;
    if (file === undefined) return [];
    return file.overlay === undefined ? [file.path] : [file.overlay.delta, ...file.overlay.pathsBelow];
  }

  /** What its file is; undefined when there is none. */
  get identity(): FileIdentity | undefined {
    return this.#core.binding?.file.identity;
  }

  /** The open file's descriptors, for a daemon that goes on with them; undefined when there is none. They stay ours. */
  get handed(): HandedFile | undefined {
    return this.#core.state === 'bound' ? this.#core.binding?.file.handed : undefined;
  }

  /** Copies the device to a new file, which it has from then on (`loopMove`). Resolves when the copy runs. */
  move(file: string, wish: CopyWish = {}): Promise<void> {
    return this.#core.task('move', () => loopMove(this.#core, file, wish));
  }

  /** Makes one file of an overlay: this one, or in place of its delta. As `move`. */
  flatten(file?: string, wish: CopyWish = {}): Promise<void> {
    return this.#core.task('flatten', () => loopFlatten(this.#core, file, wish));
  }

  /** Writes the delta into its base, which the device has from then on. As `move`. */
  commit(wish: CopyWish = {}): Promise<void> {
    return this.#core.task('commit', () => loopCommit(this.#core, wish));
  }

  /** The copy that runs, or ran last; null: none did. */
  copyStatus(): CopyStatus | null {
    return this.#core.copy?.status() ?? null;
  }

  /** Resolves when the copy has come to its end, however. */
  async copyEnds(): Promise<void> {
    await this.#core.copy?.settled;
  }

  /** Ends the copy that runs; the device has its old file, and the new one is gone. ENOENT. */
  cancelCopy(): Promise<void> {
    return this.#core.task('cancel', () => loopCancelCopy(this.#core));
  }

  /** What its bytes are in, from the top to the bottom. ENXIO. */
  layers(): readonly Layer[] {
    const { file, size } = this.#core.bound();
    return file.overlay?.layers() ?? [plainLayer(file, size)];
  }

  /** Everything of its overlay is on disk. Nothing to do for a plain file, or when not bound. */
  async settle(): Promise<void> {
    await this.#core.binding?.file.overlay?.settle();
  }

  /** The descriptors of an overlay's layers below its delta, from above. They stay ours. */
  get handedLayers(): readonly number[] {
    return this.#core.binding?.file.overlay?.handedLayers ?? [];
  }

  /** Takes the file's present size. ENXIO. */
  loopSetCapacity(): Promise<void> {
    return this.#core.task('set_capacity', () => loopSetCapacity(this.#core));
  }

  /** The metadata context `nbdloop:dirty` starts anew. ENXIO. */
  loopResetDirty(): Promise<void> {
    return this.#core.task('reset_dirty', () => loopResetDirty(this.#core));
  }

  /** ENXIO, EINVAL where direct I/O can't be had. */
  loopSetDio(on: boolean): Promise<void> {
    return this.#core.task('set_dio', () => loopSetDio(this.#core, on));
  }

  /** Changes what stands between the gate and the file (`setWrappers`). ENXIO. */
  loopSetWrappers(change: WrapperChange): Promise<void> {
    return this.#core.task('set_wrappers', () => setWrappers(this.#core, change));
  }

  /** Between the gate and the file, from the inside to the outside; none while nothing is bound. */
  get wrappers(): readonly WrapperDescription[] {
    return this.#core.binding?.wrappers ?? [];
  }

  /** The fault rules in force, and what they came to. */
  loopFaults(): FaultState[] {
    return faultsOf(this.#core).list();
  }

  /** Fault rules in place of all that there are; each begins its sequence anew. ENXIO, EINVAL. */
  loopSetFaults(rules: readonly GivenRule[]): Promise<void> {
    return this.#core.task('set_faults', () => faultsOf(this.#core).set(rules));
  }

  /** Fault rules beside those that there are. ENXIO, EINVAL. */
  loopAddFaults(rules: readonly GivenRule[]): Promise<void> {
    return this.#core.task('add_faults', () => faultsOf(this.#core).add(rules));
  }

  /** ENXIO, ENOENT. */
  loopRemoveFaults(ids: readonly string[]): Promise<void> {
    return this.#core.task('remove_faults', () => faultsOf(this.#core).remove(ids));
  }

  /** What is in a hang goes on: by one rule, or by all. Waits for nothing. ENXIO, ENOENT. */
  async loopReleaseFaults(id?: string): Promise<void> {
    faultsOf(this.#core).release(id);
  }

  /** How much it may be asked for. */
  loopLimits(): Limits {
    return limitsOf(this.#core);
  }

  /** Changes some limits; null takes one away. ENXIO, EINVAL. */
  loopSetLimits(change: LimitsChange): Promise<void> {
    return this.#core.task('set_limits', () => setLimits(this.#core, change));
  }

  /** Writes are durable only once a flush or FUA has asked for it. */
  get volatileCache(): boolean {
    return isVolatile(this.#core);
  }

  /** The file that every write is logged in; null: none. */
  get writeLog(): string | null {
    return logFileOf(this.#core);
  }

  /** Puts a volatile write cache in; or takes it away, and makes durable what it holds. ENXIO, EPERM, EFBIG. */
  loopSetVolatile(on: boolean): Promise<void> {
    return this.#core.task('set_volatile', () => setVolatile(this.#core, on));
  }

  /** Logs every write from now on in a new log in this file; null: no more. ENXIO. */
  loopSetLog(file: string | null): Promise<void> {
    return this.#core.task('set_log', () => setLog(this.#core, file));
  }

  /** Notes a name in the log of writes. ENXIO, EINVAL. */
  loopMark(name: string): Promise<void> {
    return this.#core.task('mark', () => mark(this.#core, name));
  }

  /** The power goes. `sever` ends every session of the device while it is frozen; false: one hangs. ENXIO, EBUSY. */
  loopPowerCut(
    how: PowerCut = {},
    sever: () => Promise<boolean> = async () => true,
  ): Promise<PowerCutResult> {
    return this.#core.task('power_cut', () => powerCut(this.#core, how, sever));
  }

  /** Nothing is between the gate and the file any more; what a volatile cache held is durable. */
  async loopCalm(): Promise<void> {
    if (this.#core.state !== 'bound' || this.wrappers.length === 0) return;
    await this.loopSetFaults([]);
    await this.loopSetVolatile(false);
    await this.loopSetLog(null);
    await this.#core.task('lift_limits', () => liftLimits(this.#core));
  }

  /** ENXIO, EINVAL. */
  loopSetBlockSize(bytes: number): Promise<void> {
    return this.#core.task('set_block_size', () => loopSetBlockSize(this.#core, bytes));
  }
}
