/** What a process has open, by kind. */

/** 'socket:', 'anon_inode:[io_uring]', or the path of a file -> how many. */
export type Kinds = Readonly<Record<string, number>>;

export function countKinds(links: readonly string[]): Kinds {
  const kinds: Record<string, number> = {};
  for (const link of links) {
    const kind = link.replace(/\[\d+\]$/, '');
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

/** One sentence for each kind of which more is open than before. */
export function leftOpen(before: Kinds, after: Kinds): string[] {
  return Object.entries(after)
    .filter(([kind, count]) => count > (before[kind] ?? 0))
    .map(([kind, count]) => `${kind} is open ${count} times, ${before[kind] ?? 0} times before`);
}
