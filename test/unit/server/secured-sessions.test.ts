import t from 'tap';
import type { ServerAccess } from '../../../server/access.js';
import { type Permission, parsePermission } from '../../../server/negotiation/permissions.js';
import type { Peer } from '../../../server/peers.js';
import { type Secured, SecuredSessions } from '../../../server/secured-sessions.js';

const KEY = Buffer.alloc(32, 1);

const access = (keys: Record<string, Buffer>, ...rules: string[]): ServerAccess => ({
  tls: { context: { psk: new Map(Object.entries(keys)) }, isRequired: true } as unknown as NonNullable<
    ServerAccess['tls']
  >,
  permissions: rules.map((rule) => parsePermission(rule) as Permission),
});

/** Which sessions are ended: a writer's and a reader's, both of alice's, on loop0. */
function ended(by: ServerAccess): string[] {
  const sessions = new SecuredSessions();
  const dropped: string[] = [];
  for (const name of ['writer', 'reader']) {
    const session: Secured = {
      identity: { psk: 'alice' },
      key: KEY,
      isReadOnly: name === 'reader',
      names: () => ['loop0'],
      drop: () => void dropped.push(name),
    };
    sessions.add({} as Peer, session);
  }
  sessions.revoke(by);
  return dropped;
}

t.test('a session ends with what entitled it', async (t) => {
  const both = ['writer', 'reader'];
  t.same(ended(access({ alice: KEY })), [], 'nothing has changed');
  t.same(ended(access({ bob: KEY })), both, 'the user is gone');
  t.same(ended(access({ alice: Buffer.alloc(32, 2) })), both, 'the user has another key');
  t.same(ended(access({ alice: KEY }, '*=psk:bob')), both, 'no rule is for the user');
  t.same(ended(access({ alice: KEY }, 'loop1=psk:alice')), both, 'the rule is for another export');
  t.same(ended(access({ alice: KEY }, 'loop0:ro=psk:alice')), ['writer'], 'the rule lets only read');
  t.same(ended(access({ alice: KEY }, 'loop0:ro=psk:alice', '*=psk:alice')), [], 'the widest counts');
});
