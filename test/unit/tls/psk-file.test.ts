import fc from 'fast-check';
import t from 'tap';
import { parsePskFile } from '../../../server/tls/psk-file.js';

t.test('users and keys are read, and empty lines passed over', async (t) => {
  const keys = parsePskFile('alice:00ff\n\nbob:ABCD\r\n#636172c3a9:01\n');
  t.same(Object.fromEntries(keys as Map<string, Buffer>), {
    alice: Buffer.from('00ff', 'hex'),
    bob: Buffer.from('abcd', 'hex'),
    caré: Buffer.from([1]),
  });
});

t.test('the first line that does not fit is named', async (t) => {
  for (const bad of ['alice', 'alice:', ':00', 'alice:0', 'alice:xy', 'alice:00 11', '#6:00', '#zz:00']) {
    t.same(parsePskFile(`ok:00\n${bad}\nworse`), { line: 2 }, bad);
  }
});

t.test('whatever psktool can write is read back', async () => {
  const users = fc.string({ minLength: 1, maxLength: 40 }).filter((user) => /^[^:#\s][^:\r\n]*$/.test(user));
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(fc.dictionary(users, bytes), (entries) => {
      const lines = Object.entries(entries).map(
        ([user, key]) => `${user}:${Buffer.from(key).toString('hex')}`,
      );
      const keys = parsePskFile(`${lines.join('\n')}\n`) as Map<string, Buffer>;
      return (
        keys.size === lines.length &&
        Object.entries(entries).every(([user, key]) => keys.get(user)?.equals(key) === true)
      );
    }),
  );
});
