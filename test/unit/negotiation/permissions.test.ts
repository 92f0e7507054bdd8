import t from 'tap';
import type { Export } from '../../../server/export.js';
import { accessOf, parsePermission, permittedExports } from '../../../server/negotiation/permissions.js';

const rules = (...texts: string[]) => texts.flatMap((text) => parsePermission(text) ?? []);
const psk = (user: string) => ({ psk: user });

t.test('a rule for any name of an export is a rule for the export', async (t) => {
  const names = ['db', 'loop3'];
  t.equal(accessOf(rules('db=psk:a'), psk('a'), names), 'read-write');
  t.equal(accessOf(rules('loop3:ro=psk:a'), psk('a'), names), 'read-only');
  t.equal(accessOf(rules('loop3:ro=psk:a', 'db=psk:a'), psk('a'), names), 'read-write', 'the widest counts');
  t.equal(accessOf(rules('db=psk:b', 'loop4=psk:a'), psk('a'), names), undefined);
  t.equal(accessOf(rules('*:ro=psk:a'), psk('a'), names), 'read-only');
});

t.test('who may use an export finds it under all its names, and lists it with them', async (t) => {
  const one: Export = {
    names: ['db', 'loop3'],
    info: () => ({}) as ReturnType<Export['info']>,
    open: () => Promise.reject(new Error('not opened here')),
  };
  const table = { list: () => [one], find: (name: string) => (one.names.includes(name) ? one : undefined) };
  const seen = permittedExports(table, rules('db:ro=psk:a'), psk('a'));
  t.strictSame(seen.find('loop3')?.names, ['db', 'loop3']);
  t.equal(seen.find('db')?.info().readOnly, true);
  t.equal(seen.list().length, 1);
  const other = permittedExports(table, rules('db=psk:b'), psk('a'));
  t.strictSame([other.find('db'), other.find('loop3'), other.list()], [undefined, undefined, []]);
});
