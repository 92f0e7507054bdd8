/** Reads what `perf script` prints, and says what each sample was doing. Pure. */

export interface Frame {
  readonly symbol: string;
  /** File the code is of; `[kernel.kallsyms]` for the kernel. */
  readonly object: string;
}

/** Samples, each a stack with the innermost frame first. From `perf script -F tid,ip,sym,dso`. */
export const parseStacks = (text: string): Frame[][] =>
  text
    .split(/\n\s*\n/)
    .map((sample) => sample.split('\n').flatMap(parseFrame))
    .filter((stack) => stack.length > 0);

const FRAME = /^\s+[0-9a-f]+ (.*) \((.*)\)$/;

const parseFrame = (line: string): Frame[] => {
  const match = FRAME.exec(line);
  return match === null ? [] : [{ symbol: match[1] ?? '', object: match[2] ?? '' }];
};

const SYSTEM_CALL = /^__(?:x64|arm64|s390x|riscv)_sys_(\w+)/;
/** JavaScript that was compiled at run time, as perf sees it. */
const COMPILED = /perf-\d+\.map$|^\[JIT\]|^\/\/anon$/;

/** One of few words for where a stack's innermost frame spent its time. */
export const categoryOf = (stack: readonly Frame[]): string => {
  for (const { symbol } of stack) {
    const call = SYSTEM_CALL.exec(symbol)?.[1];
    if (call !== undefined) return `system call ${call}`;
  }
  const [leaf] = stack;
  if (leaf === undefined) return 'unknown';
  const { symbol, object } = leaf;
  if (object.startsWith('[kernel') || object.startsWith('[guest.kernel')) return 'kernel entry, interrupts';
  if (COMPILED.test(object) || symbol.startsWith('Builtins_')) return 'JavaScript';
  if (object.includes('koffi')) return 'koffi';
  if (object.includes('vdso')) return 'clock';
  if (/libc[.-]/.test(object)) return 'C library';
  return 'Node and V8';
};

/** Share of the samples in each category, the largest first. */
export const shares = (stacks: readonly (readonly Frame[])[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const stack of stacks) {
    const category = categoryOf(stack);
    counts.set(category, (counts.get(category) ?? 0) + 1);
  }
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a);
  return new Map(sorted.map(([category, count]) => [category, count / stacks.length]));
};
