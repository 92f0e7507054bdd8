/** Finds the export that is meant at one of its addresses, with as many connections as are wanted. */

import { LoopError } from '../errno.js';
import { asLoopError, atAddress } from './connect.js';
import { difference, type ExportFacts, sharesConnections } from './facts.js';
import { type Link, openLink } from './link.js';
import type { RemoteTls } from './tls.js';
import type { RemoteAddress } from './uri.js';

export interface DialOptions {
  readonly addresses: readonly RemoteAddress[];
  /** Index of the address that is tried first. */
  readonly first: number;
  readonly connections: number;
  readonly tls: RemoteTls;
  /** What the export must prove to be; undefined: whatever is there. */
  readonly meant: ExportFacts | undefined;
  readonly signal: AbortSignal;
}

export interface Dialled {
  readonly at: number;
  /** All to one address; at least one. */
  readonly links: readonly Link[];
  readonly facts: ExportFacts;
}

/**
 * Throws a LoopError that tells of every address what is wrong there; ESTALE where one has another export. `signal` ends
 * it with its reason.
 */
export async function dial(options: DialOptions): Promise<Dialled> {
  const { addresses, first, signal } = options;
  const failures: LoopError[] = [];
  for (let i = 0; i < addresses.length; i++) {
    const at = (first + i) % addresses.length;
    const address = addresses[at];
    if (address === undefined) continue;
    try {
      const links = await openAll(address, options);
      const [{ facts }] = links;
      return { at, links, facts };
    } catch (error) {
      if (signal.aborted) throw asLoopError(signal.reason);
      failures.push(atAddress(address, error));
    }
  }
  const chosen = failures.find(({ errno }) => errno === 'ESTALE') ?? failures.at(-1);
  throw new LoopError(chosen?.errno ?? 'EINVAL', failures.map(({ message }) => message).join('; '));
}

/** All or none. */
async function openAll(
  address: RemoteAddress,
  { connections, tls, meant, signal }: DialOptions,
): Promise<readonly [Link, ...Link[]]> {
  const first = await openLink(address, tls, signal);
  const links: [Link, ...Link[]] = [first];
  try {
    refuseOther(meant, first.facts);
    refuseEmpty(first.facts);
    if (connections > 1 && !sharesConnections(first.facts)) {
      throw new LoopError('EINVAL', 'the export does not promise that several connections see the same data');
    }
    for (let i = 1; i < connections; i++) {
      const another = await openLink(address, tls, signal);
      links.push(another);
      refuseOther(first.facts, another.facts);
    }
    return links;
  } catch (error) {
    for (const link of links) link.end();
    throw error;
  }
}

function refuseOther(meant: ExportFacts | undefined, found: ExportFacts): void {
  const other = meant && difference(meant, found);
  if (other !== undefined) throw new LoopError('ESTALE', `another export is there: ${other}`);
}

/** The export of a device without a file, or what the kernel can't make a disk of. */
function refuseEmpty({ size }: ExportFacts): void {
  if (size < 512) throw new LoopError('ENXIO', `the export has ${size} bytes`);
}
