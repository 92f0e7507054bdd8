/** What a guest's kernel log must not hold. */

/** Each of these is a complaint of the kernel about itself, or about a device that failed. */
const COMPLAINTS = [
  /blocked for more than/,
  /I\/O error/i,
  /WARNING:/,
  /BUG:/,
  /Oops/,
  /possible (circular|recursive) locking/,
  /(EXT4|XFS)[^:]*:? .*(error|corruption)/i,
  /Kernel panic/,
];

/** Lines of the log that complain, without those that match one of `provoked`. */
export function kernelComplaints(log: string, provoked: readonly RegExp[] = []): string[] {
  return log
    .split('\n')
    .filter((line) => COMPLAINTS.some((pattern) => pattern.test(line)))
    .filter((line) => !provoked.some((pattern) => pattern.test(line)));
}
