import { readdirSync } from 'node:fs';
import t from 'tap';
import { Pipes } from '../../../server/system/pipes.js';
import type { Pipe } from '../../../server/system/sockets.js';

const descriptors = (): number => readdirSync('/proc/self/fd').length;

t.test('a pipe that was given back is taken again', async (t) => {
  const pipes = new Pipes();
  const first = pipes.take(65_536);
  t.ok(first);
  const second = pipes.take(65_536);
  t.not(first?.readEnd, second?.readEnd, 'one that is out is not given to two');
  pipes.give(first as Pipe);
  t.equal(pipes.take(4096), first);
  pipes.drop(first as Pipe);
  pipes.drop(second as Pipe);
});

t.test('a length that no pipe holds has none', async (t) => {
  const pipes = new Pipes();
  t.equal(pipes.take(1 << 30), undefined);
  const pipe = pipes.take(4096);
  t.ok(pipe, 'for less there is one');
  pipes.drop(pipe as Pipe);
  pipes.close();
});

t.test('no descriptor is left behind', async (t) => {
  const before = descriptors();
  const pipes = new Pipes();
  const taken = Array.from({ length: 30 }, () => pipes.take(4096));
  t.equal(descriptors(), before + 60);
  for (const pipe of taken) pipes.give(pipe as Pipe);
  t.equal(descriptors(), before + 32, '16 are kept');
  pipes.close();
  t.equal(descriptors(), before);
});
