/**
 * Command lines of losetup that change nothing, and what they answer. `DEV` is a device that serves FILE from 4096 on,
 * `FREE` one that serves nothing, `NONE` a file that is not there.
 *
 * What losetup 2.38 answers is asked of it where it is installed; where 2.42 does something else, that is written down here,
 * from its sources (sys-utils/losetup.c and include/optutils.h of util-linux).
 */

export interface Recorded {
  readonly status: number;
  /** Without the name of the program; absent: nothing. */
  readonly says?: string;
  readonly prints?: string;
}

/** The same in 2.38 and 2.42. */
export const SAME_IN_BOTH: readonly string[] = [
  '--foo',
  '-x',
  '-o',
  '--offset',
  '-O',
  '-j',
  '-b',
  '--sizelimit',
  '--json=1',
  '--all=1',
  '--detach-al=1',
  '--out',
  '--de',
  '-o 10',
  '-n',
  '-r',
  '-P',
  '--show',
  '-J -n',
  '--raw -n',
  '-O FOO',
  '-O NAME,FOO',
  '-O +FOO',
  '-a -o 1',
  '-l -o 1',
  '--sizelimit 10 -a',
  '--sizelimit 10 -l',
  '-P -a',
  '-r DEV',
  '-P DEV',
  '--show DEV',
  '--sizelimit 1 DEV',
  '-o 1 DEV',
  '-f FILE more',
  '-o abc -f FILE',
  '-o 16E -f FILE',
  '-o -1 -f FILE',
  '-b abc -f FILE',
  '--sizelimit 1.5 -f FILE',
  '--direct-io=foo DEV',
  '-j FILE',
  '-j NONE',
  '-l -j NONE',
  '-j FILE -o 4096',
  '-j FILE -o 4k',
  '-j FILE -o 0',
  '-j FILE -o 4096 -o 0',
  '-j NONE -j FILE',
  '-j FILE --direct-io',
  '-j FILE --direct-io=off',
  '-l -j FILE -O BACK-FILE',
  '-l -j FILE -O back-file,Ro',
  '-l -j FILE -O RO,RO',
  '-nl -j FILE -O OFFSET,SIZELIMIT',
  '-l -J -j FILE -O AUTOCLEAR,PARTSCAN,RO,DIO',
  '-l -J -j FILE -O OFFSET,SIZELIMIT,LOG-SEC',
  '-l --raw -j FILE -O BACK-INO,BACK-FILE',
  '-l --raw -n -j FILE -O BACK-INO',
  '-O BACK-MAJ:MIN -j FILE',
  '-d DEV --direct-io',
  '-d DEV -r',
  '-d DEV --show',
  '-d DEV --sizelimit 1',
  '-c DEV -P',
  '-f --direct-io',
  '-f --sizelimit 1',
  '-f -r',
  '-o abc -h',
  'DEV -O RO',
  'DEV -l -O OFFSET',
  '-l DEV -J -O RO',
];

/** What 2.42 answers where 2.38 answers otherwise. */
export const ONLY_IN_2_42: readonly (readonly [string, Recorded])[] = [
  ['-f -a', { status: 1, says: 'options --find and --all cannot be combined' }],
  ['-a -f', { status: 1, says: 'options --all and --find cannot be combined' }],
  ['-l -c DEV', { status: 1, says: 'options --list and --set-capacity cannot be combined' }],
  ['-D -d DEV', { status: 1, says: 'options --detach-all and --detach cannot be combined' }],
  ['-j FILE -D', { status: 1, says: 'options --associated and --detach-all cannot be combined' }],
  ['-j FILE -a', { status: 1, says: 'options --associated and --all cannot be combined' }],
  ['-O RO -f', { status: 1, says: 'options --output and --find cannot be combined' }],
  ['-J --raw', { status: 1, says: 'options --json and --raw cannot be combined' }],
  ['--remove -d DEV', { status: 1, says: 'options --remove and --detach cannot be combined' }],
  ['--remove -l', { status: 1, says: 'options --remove and --list cannot be combined' }],
  ['-a --remove', { status: 1, says: 'options --all and --remove cannot be combined' }],
  ['-d', { status: 1, says: 'no loop device specified' }],
  ['-c', { status: 1, says: 'no loop device specified' }],
  ['--remove', { status: 1, says: 'no loop device specified' }],
  [
    '--detach=DEV',
    {
      status: 1,
      says: "option '--detach' doesn't allow an argument\nTry 'losetup --help' for more information.",
    },
  ],
  [
    '--re DEV',
    {
      status: 1,
      says: "option '--re' is ambiguous; possibilities: '--read-only' '--remove'\nTry 'losetup --help' for more information.",
    },
  ],
  [
    '--loop-ref',
    {
      status: 1,
      says: "option '--loop-ref' requires an argument\nTry 'losetup --help' for more information.",
    },
  ],
  ['--raw -l -j FILE -O BACK-MAJ:MIN', { status: 0, prints: 'BACK-MAJ:MIN\nMAJOR:MINOR\n' }],
  ['-l -j FILE -O BACK-MAJ,BACK-MIN --raw', { status: 0, prints: 'BACK-MAJ BACK-MIN\nMAJOR MINOR\n' }],
  [
    '-J -l -j FILE -O BACK-MAJ:MIN,BACK-MAJ,BACK-MIN',
    {
      status: 0,
      prints:
        '{\n   "loopdevices": [\n      {\n         "back-maj:min": "MAJOR:MINOR",\n         "back-maj": "MAJOR",\n         "back-min": "MINOR"\n      }\n   ]\n}\n',
    },
  ],
  ['-l -n -j FILE -O REF --raw', { status: 0, prints: 'my-disk\n' }],
  [
    '-l -J -j FILE -O REF',
    { status: 0, prints: '{\n   "loopdevices": [\n      {\n         "ref": "my-disk"\n      }\n   ]\n}\n' },
  ],
  ['--output-all -O REF --raw -j FILE', { status: 0, prints: 'REF\nmy-disk\n' }],
];
