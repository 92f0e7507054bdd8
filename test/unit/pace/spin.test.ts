import t from 'tap';
import { Spin } from '../../../server/pace/spin.js';

t.test('short sleeps make it patient, up to its limit', async (t) => {
  const spin = new Spin(50);
  t.equal(spin.milliseconds, 0, 'at first it does not spin');
  const budgets = Array.from({ length: 5 }, () => {
    spin.slept(0.03);
    return spin.milliseconds * 1000;
  });
  t.strictSame(budgets, [10, 20, 40, 50, 50]);
});

t.test('long sleeps end it soon', async (t) => {
  const spin = new Spin(50);
  for (let i = 0; i < 5; i++) spin.slept(0.03);
  let sleeps = 0;
  while (spin.milliseconds > 0) {
    spin.slept(5);
    sleeps++;
  }
  t.ok(sleeps <= 4, `${sleeps} sleeps`);
});
