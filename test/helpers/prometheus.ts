/** A Prometheus that scrapes a daemon's page, as docs/page.md says to set it up. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { freePort } from './daemon.js';
import type { PagedDaemon } from './paged-daemon.js';
import { type RunningProcess, start } from './process.js';
import { TempDir } from './temp.js';
import { tool } from './tools.js';
import { until } from './until.js';

interface Answer<T> {
  readonly status: string;
  readonly data: T;
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

interface RuleHealth {
  readonly name: string;
  readonly health: string;
}

export class Prometheus implements AsyncDisposable {
  private constructor(
    private readonly directory: TempDir,
    private readonly process: RunningProcess,
    private readonly origin: string,
  ) {}

  static async start(paged: PagedDaemon): Promise<Prometheus> {
    const directory = new TempDir();
    const port = await freePort();
    const { token } = await paged.daemon.client.page();
    writeFileSync(directory.file('token'), `${token}\n`);
    const config = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [resolve('packaging/prometheus/nbdloop.rules.yml')],
      scrape_configs: [
        {
          job_name: 'nbdloop',
          authorization: { credentials_file: directory.file('token') },
          static_configs: [{ targets: [`127.0.0.1:${paged.port}`] }],
        },
      ],
    };
    // What is JSON is YAML.
    writeFileSync(directory.file('prometheus.yml'), JSON.stringify(config));
    const running = start(tool('prometheus'), [
      `--config.file=${directory.file('prometheus.yml')}`,
      `--storage.tsdb.path=${directory.file('data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    return new Prometheus(directory, running, `http://127.0.0.1:${port}`);
  }

  query(expression: string): Promise<readonly Series[]> {
    const query = new URLSearchParams({ query: expression });
    return this.#get<{ result: readonly Series[] }>(`query?${query}`).then(({ result }) => result);
  }

  async rules(): Promise<readonly RuleHealth[]> {
    const { groups } = await this.#get<{ groups: readonly { rules: readonly RuleHealth[] }[] }>('rules');
    return groups.flatMap(({ rules }) => rules);
  }

  /** Until an expression has a result. */
  seen(expression: string): Promise<readonly Series[]> {
    return until(`Prometheus has ${expression}`, async () => {
      const series = await this.query(expression).catch(() => []);
      return series.length > 0 ? series : undefined;
    });
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.origin}/api/v1/${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return (JSON.parse(text) as Answer<T>).data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}
