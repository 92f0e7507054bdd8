/** Where `nbdloop doctor` explains a failure: the end of its sentence names the check, as doctor prints it. */

export const EXPLAINING_CHECKS = [
  'nbd module',
  'rights',
  'run directory',
  'daemon',
  'open files',
  'locked memory',
  'memory',
  'threads',
  'IPv6',
  'processor',
] as const;
/** Of the file system of a file. */
export const EXPLAINING_FILE_CHECKS = ['file', 'direct I/O'] as const;

type Check = (typeof EXPLAINING_CHECKS)[number];

/** Stands before a sentence's last full stop, if it has one. */
export const seeDoctor = (check: Check): string => `(see "${check}" in nbdloop doctor)`;

/** The same where the check is of a file: doctor is given it. */
export const seeDoctorOfFile = (check: (typeof EXPLAINING_FILE_CHECKS)[number], file: string): string =>
  `(see "${check}" in nbdloop doctor ${file})`;
