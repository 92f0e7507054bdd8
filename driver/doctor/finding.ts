/** What a check has found. */
export interface Finding {
  /** What was looked at. */
  readonly check: string;
  /** `note`: something is missing that not everybody needs. `bad`: something would break. */
  readonly verdict: 'good' | 'note' | 'bad';
  readonly says: string;
  /** What can be done about it. */
  readonly help?: string;
}

export const good = (check: string, says: string): Finding => ({ check, verdict: 'good', says });
export const note = (check: string, says: string, help: string): Finding => ({
  check,
  verdict: 'note',
  says,
  help,
});
export const bad = (check: string, says: string, help: string): Finding => ({
  check,
  verdict: 'bad',
  says,
  help,
});
