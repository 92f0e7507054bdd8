import { BlockList, isIP, isIPv4 } from 'node:net';

/** Which peers may connect over TCP: addresses and networks in CIDR notation. An empty list admits everybody. */
export class AllowList {
  readonly #list = new BlockList();
  readonly #isEmpty: boolean;

  /** Throws RangeError, with a sentence for the user, for an entry that is neither an address nor a network. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#add(entry);
    this.#isEmpty = entries.length === 0;
  }

  /** `address` as `socket.remoteAddress` gives it, also IPv4 in IPv6 and with a zone; no address is no entry. */
  admits(address: string | undefined): boolean {
    if (this.#isEmpty) return true;
    const bare = address?.split('%', 1)[0] ?? '';
    if (isIP(bare) === 0) return false;
    return this.#list.check(bare, family(bare));
  }

  #add(entry: string): void {
    const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
    const longest = isIPv4(address) ? 32 : 128;
    const length = prefix === undefined ? longest : Number(prefix);
    if (isIP(address) === 0 || length > longest) {
      throw new RangeError(`'${entry}' is not an address or a network such as 10.0.0.0/8`);
    }
    this.#list.addSubnet(address, length, family(address));
  }
}

const family = (address: string): 'ipv4' | 'ipv6' => (isIPv4(address) ? 'ipv4' : 'ipv6');
