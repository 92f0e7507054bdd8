/**
 * A small reference model of one loop device, for tests of the real one.
 *
 * An operation is a chain of steps. A step is atomic and pure: it takes the device before and gives the device
 * after, and the next step or the operation's result. Between two steps anybody else's may come. It follows
 * DESIGN section 3; the real device must never do what no order of these steps can do.
 */

export interface Binding {
  /** The file that was bound; it stays the binding's identity when `file` is swapped. */
  readonly id: string;
  readonly file: string;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly directIo: boolean;
  readonly blockSize: number;
}

export interface Device {
  readonly state: 'unbound' | 'bound' | 'rundown' | 'deleting';
  readonly binding: Binding | null;
  readonly openers: number;
  /** The binding that an opener, not the last, let go of most recently. */
  readonly released: string | null;
}

export const NEW_DEVICE: Device = { state: 'unbound', binding: null, openers: 0, released: null };

/** What comes after a step: another one, or the result; `undefined` when the step has to wait. */
export type After =
  | { readonly device: Device; readonly next: Step; readonly spawned?: Step }
  | { readonly device: Device; readonly result: string; readonly spawned?: Step };

export interface Step {
  /** Tells this step, with all it remembers, from every other. */
  readonly label: string;
  run(device: Device): After | undefined;
}

const step = (label: string, run: Step['run']): Step => ({ label, run });

/** One step that succeeds or fails with an errno. */
const simply = (label: string, change: (device: Device) => Device | string): Step =>
  step(label, (device) => {
    const changed = change(device);
    return typeof changed === 'string' ? { device, result: changed } : { device: changed, result: 'ok' };
  });

/** The bound device with another binding, or ENXIO. */
const rebind = (label: string, change: (binding: Binding) => Binding | string): Step =>
  simply(label, (device) => {
    if (device.state !== 'bound' || device.binding === null) return 'ENXIO';
    const binding = change(device.binding);
    return typeof binding === 'string' ? binding : { ...device, binding };
  });

/** Results in the state that the device has after the open. */
export function open(options: { readonly deferred: boolean }): Step {
  const look = step('look', (device) => ({ device, result: device.state }));
  const settle = step('settle', (device) =>
    device.state === 'rundown' ? undefined : { device, next: look },
  );
  return step(`open ${options.deferred}`, (device) => {
    if (device.state === 'deleting') return { device, result: 'ENXIO' };
    return { device: { ...device, openers: device.openers + 1 }, next: options.deferred ? settle : look };
  });
}

export const release = (options: { readonly deferred: boolean }): Step =>
  step(`release ${options.deferred}`, (before) => {
    const bound = before.state === 'bound' ? before.binding : null;
    const openers = before.openers - 1;
    if (openers > 0) return { device: { ...before, openers, released: bound?.id ?? null }, result: 'ok' };
    const device = { ...before, openers };
    if (bound?.autoclear !== true) return { device, result: 'ok' };
    const clear = clearing({ force: false, only: bound.id, result: () => 'ok' });
    return options.deferred ? { device, next: clear } : { device, result: 'ok', spawned: clear };
  });

interface Clearing {
  readonly force: boolean;
  /** Nothing but this binding. */
  readonly only?: string;
  /** What the operation results in when the clear resulted in this. */
  readonly result: (outcome: string) => string;
}

/** Open, clr_fd, close. */
function clearing(wish: Clearing): Step {
  const name = `clear ${wish.force} ${wish.only}`;
  const close = (outcome: string, deferred: string | null): Step =>
    step(`${name} close ${outcome} ${deferred}`, (before) => {
      const device = { ...before, openers: before.openers - 1 };
      const left = leftBehind(device, deferred);
      const result = wish.result(left !== null && left === deferred ? 'cleared' : outcome);
      return left === null
        ? { device, result }
        : { device, next: clearing({ force: false, only: left, result: () => result }) };
    });
  const unbind = step(`${name} unbind`, (device) => ({
    device: { ...device, state: 'unbound' },
    next: close('cleared', null),
  }));
  const forget = step(`${name} forget`, (device) => ({ device: { ...device, binding: null }, next: unbind }));
  const decide = step(`${name} decide`, (device) => {
    const { state, binding, openers } = device;
    const mine = wish.only === undefined || (wish.only === binding?.id && binding.autoclear);
    if (state !== 'bound' || binding === null || !mine) return { device, next: close('ENXIO', null) };
    if (wish.force || openers === 1) return { device: { ...device, state: 'rundown' }, next: forget };
    const lazy = { ...device, binding: { ...binding, autoclear: true } };
    return { device: lazy, next: close('deferred', binding.id) };
  });
  return step(`${name} open`, (device) =>
    device.state === 'deleting'
      ? { device, result: wish.result('ENXIO') }
      : { device: { ...device, openers: device.openers + 1 }, next: decide },
  );
}

/** What the close of a clear has to clear: only a binding whose clear was left to it. */
function leftBehind({ state, binding, openers, released }: Device, deferred: string | null): string | null {
  if (openers > 0 || state !== 'bound' || binding?.autoclear !== true) return null;
  return binding.id === deferred || binding.id === released ? binding.id : null;
}

/** Results in 'cleared', 'deferred' or ENXIO. */
export const clrFd = (options: { readonly force: boolean }): Step =>
  clearing({ force: options.force, result: (outcome) => outcome });

export const configure = (file: string, flags: Pick<Binding, 'readOnly' | 'autoclear'>): Step =>
  simply(`configure ${file}`, (device) => {
    if (device.state !== 'unbound') return 'EBUSY';
    const binding: Binding = { id: file, file, directIo: false, blockSize: 512, ...flags };
    return { ...device, state: 'bound', binding };
  });

export const changeFd = (file: string): Step =>
  rebind(`change_fd ${file}`, (binding) => (binding.readOnly ? { ...binding, file } : 'EINVAL'));

export const setAutoclear = (autoclear: boolean): Step =>
  rebind(`set_status ${autoclear}`, (binding) => ({ ...binding, autoclear }));

export const setDio = (directIo: boolean): Step =>
  rebind(`set_dio ${directIo}`, (binding) => ({ ...binding, directIo }));

export const setBlockSize = (blockSize: number): Step =>
  rebind(`set_block_size ${blockSize}`, (binding) => ({ ...binding, blockSize }));

/** Results in the file that it reads, or EIO. */
export const request = (): Step =>
  step('request', (device) => ({ device, result: device.binding?.file ?? 'EIO' }));

export function remove(): Step {
  const mark = simply('remove', (device) =>
    device.state === 'unbound' && device.openers === 0 ? { ...device, state: 'deleting' } : 'EBUSY',
  );
  return step('remove?', (device) =>
    device.state === 'deleting' ? { device, result: 'ENODEV' } : { device, next: mark },
  );
}
