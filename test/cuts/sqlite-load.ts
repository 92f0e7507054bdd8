/** Debian's sqlite3 commits transactions, with a rollback journal and with a write-ahead log: what it said is committed must stay. */
import { join } from 'node:path';
import { type RunningProcess, runOk, start } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';
import type { Load } from './load.js';

/** With FULL, what was committed by the removal of a rollback journal may come back: its directory is not fsynced (SQLite's PRAGMA synchronous). */
const SYNCHRONOUS = 'EXTRA';
const JOURNALS = ['delete', 'wal'] as const;
/** Of a transaction. */
const ROWS = 4;
/** More than any round commits. */
const TRANSACTIONS = 2000;
/** Transactions that stay in the table; older ones are deleted as others come. */
const WINDOW = 400;

interface Database {
  readonly journal: string;
  /** The last transaction that was told to be committed. */
  committed: number;
  /** Where the next round goes on. */
  next: number;
}

export class SqliteLoad implements Load {
  readonly #databases = JOURNALS.map((journal): Database => ({ journal, committed: 0, next: 1 }));
  #running: readonly RunningProcess[] = [];
  #done = 0;

  get done(): number {
    return this.#done + this.#running.reduce((sum, { stdout }) => sum + told(stdout), 0);
  }

  async start(directory: string): Promise<void> {
    this.#running = this.#databases.map(({ journal, next }) =>
      start(tool('stdbuf'), ['-oL', tool('sqlite3'), '-batch', '-bail', join(directory, `${journal}.db`)], {
        input: statements(journal, next),
      }),
    );
    const ends = await Promise.all(this.#running.map(({ ended }) => ended));
    this.#done = this.done;
    this.#running = [];
    const failed = ends.find(({ status }) => status !== 0);
    if (failed !== undefined) throw new Error(failed.stderr);
  }

  seal(): void {
    for (const [index, database] of this.#databases.entries()) {
      const count = told(this.#running[index]?.stdout ?? '');
      if (count > 0) database.committed = database.next + count - 1;
    }
  }

  async check(directory: string): Promise<string[]> {
    const wrong: string[] = [];
    for (const database of this.#databases) wrong.push(...(await checkDatabase(directory, database)));
    return wrong;
  }
}

async function checkDatabase(directory: string, database: Database): Promise<string[]> {
  const { journal, committed } = database;
  const words = [
    '-batch',
    join(directory, `${journal}.db`),
    `PRAGMA integrity_check; ${TABLE}
     SELECT 'half of ' || k FROM t GROUP BY k HAVING count(*) <> ${ROWS};
     SELECT 'gap' WHERE (SELECT count(DISTINCT k) <> max(k) - min(k) + 1 FROM t);
     SELECT 'last', coalesce(max(k), 0) FROM t;`,
  ];
  const answer = (await runOk(tool('sqlite3'), words, { timeoutMs: 300_000 })).trim().split('\n');
  const last = Number(answer.pop()?.replace('last|', ''));
  database.next = last + 1;
  const wrong = answer[0] === 'ok' ? answer.slice(1) : answer;
  if (!(last >= committed)) wrong.push(`${committed} was committed, and ${last} is the last`);
  return wrong.map((what) => `${journal}: ${what}`);
}

const TABLE = 'CREATE TABLE IF NOT EXISTS t (k INTEGER, row INTEGER, text BLOB);';

function statements(journal: string, first: number): string {
  const rows = Array.from({ length: ROWS }, (_, row) => row);
  const steps = Array.from({ length: TRANSACTIONS }, (_, n) => first + n).map(
    (k) =>
      `BEGIN; INSERT INTO t VALUES ${rows.map((row) => `(${k}, ${row}, randomblob(300))`).join(',')};` +
      `DELETE FROM t WHERE k < ${k - WINDOW}; COMMIT; SELECT 'committed ${k}';\n`,
  );
  return `PRAGMA journal_mode=${journal}; PRAGMA synchronous=${SYNCHRONOUS}; ${TABLE}\n${steps.join('')}`;
}

const told = (stdout: string): number => stdout.match(/^committed \d+$/gm)?.length ?? 0;
