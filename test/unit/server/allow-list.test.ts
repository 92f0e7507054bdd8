import t from 'tap';
import { AllowList } from '../../../server/allow-list.js';

t.test('an empty list admits everybody', async (t) => {
  const list = new AllowList([]);
  t.ok(list.admits('192.0.2.1'));
  t.ok(list.admits(undefined));
});

t.test('addresses and networks of both families are admitted, their neighbours are not', async (t) => {
  const list = new AllowList(['192.0.2.7', '10.1.0.0/16', 'fd00::/8', '::1']);
  for (const address of ['192.0.2.7', '10.1.255.255', 'fd12::9', '::1']) t.ok(list.admits(address), address);
  for (const address of ['192.0.2.8', '10.2.0.0', 'fe80::1', '::2', '', undefined, 'unix']) {
    t.notOk(list.admits(address), String(address));
  }
});

t.test('IPv4 in IPv6 is IPv4, and a zone is no part of the address', async (t) => {
  const list = new AllowList(['10.0.0.0/8', 'fe80::/10']);
  t.ok(list.admits('::ffff:10.9.8.7'));
  t.notOk(list.admits('::ffff:11.9.8.7'));
  t.ok(list.admits('fe80::1%eth0'));
});

t.test('/0 admits the whole family', async (t) => {
  const list = new AllowList(['0.0.0.0/0']);
  t.ok(list.admits('203.0.113.9'));
  t.notOk(list.admits('2001:db8::1'));
});

t.test('an entry that is no address and no network is refused by name', async (t) => {
  for (const entry of ['', 'localhost', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.0/', '1.2.3.4/x']) {
    t.throws(() => new AllowList([entry]), { name: 'RangeError', message: `'${entry}'` }, entry);
  }
});
