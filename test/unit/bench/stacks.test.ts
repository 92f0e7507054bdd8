import { test } from 'tap';
import { categoryOf, parseStacks, shares } from '../../../bench/profile/stacks.js';

/** As perf 6.1 prints them, shortened. */
const SCRIPT = `15501 
	ffffffff8170a6e4 _copy_to_iter ([kernel.kallsyms])
	ffffffff8124fe5b shmem_file_read_iter ([kernel.kallsyms])
	ffffffff813313a1 __x64_sys_pread64 ([kernel.kallsyms])
	ffffffff81e0012b entry_SYSCALL_64_after_hwframe ([kernel.kallsyms])
	          10a1d1 __libc_pread (/usr/lib/x86_64-linux-gnu/libc.so.6)
	    7f5d3a4c1b44 JS:*serve file:///srv/session.js:82:10 (/tmp/perf-15501.map)

15501 
	    7f5d3a4c1b44 JS:*serve file:///srv/session.js:82:10 (/tmp/perf-15501.map)
	         14ce0dc Builtins_JSEntryTrampoline (/usr/bin/node)

15501 
	           1b244 [unknown] (/srv/node_modules/koffi/koffi.node)
	         14ce0dc Builtins_JSEntryTrampoline (/usr/bin/node)

15501 
	ffffffff81e00080 entry_SYSCALL_64 ([kernel.kallsyms])
	          10a1d1 __libc_pread (/usr/lib/x86_64-linux-gnu/libc.so.6)
`;

test('every sample is read, the innermost frame first', async (t) => {
  const stacks = parseStacks(SCRIPT);
  t.same(
    stacks.map((stack) => stack.length),
    [6, 2, 2, 2],
  );
  t.same(stacks[0]?.[0], { symbol: '_copy_to_iter', object: '[kernel.kallsyms]' });
});

test('a sample in a system call is that call, wherever in the kernel it was', async (t) => {
  t.same(parseStacks(SCRIPT).map(categoryOf), [
    'system call pread64',
    'JavaScript',
    'koffi',
    'kernel entry, interrupts',
  ]);
  t.equal(categoryOf([{ symbol: 'clock_gettime', object: '[vdso]' }]), 'clock');
  t.equal(categoryOf([{ symbol: 'napi_get_cb_info', object: '/usr/bin/node' }]), 'Node and V8');
  t.equal(categoryOf([{ symbol: 'Builtins_AtomicsAdd', object: '/usr/bin/node' }]), 'JavaScript');
});

test('shares sum to one, the largest first', async (t) => {
  const stacks = parseStacks(SCRIPT);
  const all = shares([...stacks, ...stacks.slice(0, 1)]);
  t.equal([...all.keys()][0], 'system call pread64');
  t.equal(
    [...all.values()].reduce((a, b) => a + b),
    1,
  );
});
