import { test } from 'tap';
import { fioArguments, parseFio } from '../../../bench/clients/fio.js';
import type { FioLoad } from '../../../bench/workloads.js';

const load: FioLoad = { client: 'fio', pattern: 'randread', blockSize: 4096, depth: 16, connections: 2 };

/** What fio 3.33 printed for two jobs of one second, shortened. */
const report = (changes: object = {}) => ({
  'fio version': 'fio-3.33',
  jobs: [
    {
      error: 0,
      job_runtime: 2000,
      usr_cpu: 14.2,
      sys_cpu: 28.8,
      mixed: {
        io_bytes: 453742592,
        total_ios: 110777,
        runtime: 1001,
        lat_ns: {
          mean: 288409.7,
          percentile: { '50.000000': 280576, '99.000000': 1036288, '99.900000': 6062080 },
        },
      },
      ...changes,
    },
  ],
});

test('the report is found behind the notes of the engine', async (t) => {
  const output = `fio: connected to NBD server\n${JSON.stringify(report(), null, 2)}\n`;
  const run = parseFio(output, load);
  t.equal(run.requests, 110777);
  t.equal(run.bytes, 453742592);
  t.equal(run.seconds, 1.001);
  t.same(run.latency, { mean: 288.4097, p50: 280.576, p99: 1036.288, p999: 6062.08 });
  t.equal(Math.round(run.clientCpu), 860_000, 'a percentage of the time of both jobs');
  t.equal(run.clients, 2);
});

test('a run that failed is an error, not a figure', async (t) => {
  t.throws(() => parseFio('fio: nbd_connect_uri: Connection refused\n', load), /printed no report.*refused/);
  t.throws(() => parseFio(JSON.stringify(report({ error: 5 })), load), /error 5/);
  t.throws(() => parseFio('{"jobs":[]}', load), /no job/);
  const idle = { mixed: { io_bytes: 0, total_ios: 0, runtime: 1000, lat_ns: { mean: 0 } } };
  t.throws(() => parseFio(JSON.stringify(report(idle)), load), /no request/);
});

test('an NBD URI, a file and a loop device take the engine that fits', async (t) => {
  const options = { runtime: 3, seed: 7, direct: false };
  const uri = 'nbd+unix:///loop0?socket=/run/x.sock';
  t.ok(fioArguments(uri, load, options).includes(`--uri=${uri}`));
  t.ok(fioArguments(uri, load, options).includes('--numjobs=2'));
  t.ok(fioArguments('/srv/a.img', load, options).includes('--direct=0'));
  t.ok(fioArguments('/srv/a.img', load, { ...options, direct: true }).includes('--direct=1'));
  t.ok(fioArguments('/dev/loop3', load, options).includes('--direct=1'), 'past the page cache of the device');
  t.notOk(fioArguments(uri, load, options).some((arg) => arg.startsWith('--rwmixread')));
  t.ok(fioArguments(uri, { ...load, pattern: 'randrw' }, options).includes('--rwmixread=70'));
});
