/** The mount table, as far as it is needed to find a device's mounts. */

export interface Mount {
  /** Where it is mounted. */
  readonly target: string;
  /** What: `/dev/nbd0` where the file system names its device. */
  readonly source: string;
}

/** Of /proc/self/mountinfo, oldest first (proc(5)): the target is the fifth field, the source the second after the dash. */
export const mountsOf = (mountinfo: string): Mount[] =>
  mountinfo.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ');
    const target = before.split(' ')[4];
    const source = after?.split(' ')[1];
    return target === undefined || source === undefined
      ? []
      : [{ target: unescaped(target), source: unescaped(source) }];
  });

/** Blanks and the like are octal; what is no ASCII is bytes. */
const unescaped = (field: string): string =>
  Buffer.from(
    field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    'latin1',
  ).toString('utf8');
