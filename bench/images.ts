/** The files that are served, and the certificates for TLS. */
import { randomFillSync } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { run } from './system/process.js';

export interface Images {
  /** On tmpfs. */
  readonly memory: string;
  /** As large as `memory` and on tmpfs too: what nbdcopy copies in. */
  readonly source: string;
  /** On a real disk. */
  readonly disk: string;
  /** Directory of the PEM files that `Site` names. */
  readonly certificates: string;
}

export interface ImageOptions {
  readonly memoryDirectory: string;
  readonly diskDirectory: string;
  /** Bytes. */
  readonly memorySize: number;
  readonly diskSize: number;
  /** Which media the workloads need. */
  readonly media: ReadonlySet<'memory' | 'disk'>;
  /** Whether something is copied in. */
  readonly copies: boolean;
  readonly tls: boolean;
  readonly signal: AbortSignal;
  readonly progress: (says: string) => void;
}

export const makeImages = async (options: ImageOptions): Promise<Images> => {
  const { memoryDirectory, diskDirectory, media } = options;
  const images: Images = {
    memory: `${memoryDirectory}/memory.img`,
    source: `${memoryDirectory}/source.img`,
    disk: `${diskDirectory}/disk.img`,
    certificates: `${memoryDirectory}/certificates`,
  };
  if (media.has('memory')) {
    options.progress('filling the image in memory');
    await fill(images.memory, options.memorySize, options.signal);
  }
  if (options.copies) await fill(images.source, options.memorySize, options.signal);
  if (media.has('disk')) {
    options.progress('filling the image on disk');
    await fill(images.disk, options.diskSize, options.signal);
  }
  if (options.tls) await makeCertificates(images.certificates, options.signal);
  return images;
};

const PIECE = 4 * 1024 * 1024;

/** Random bytes throughout: neither holes nor blocks that compress or compare equal, and all of it on the medium. */
const fill = async (path: string, size: number, signal: AbortSignal): Promise<void> => {
  const file = await open(path, 'wx');
  try {
    const piece = Buffer.allocUnsafe(PIECE);
    for (let offset = 0; offset < size; offset += PIECE) {
      signal.throwIfAborted();
      randomFillSync(piece);
      await file.write(piece, 0, Math.min(PIECE, size - offset), offset);
    }
    await file.sync();
  } finally {
    await file.close();
  }
};

/** A certificate authority of one day and a server's certificate, under the names libnbd and the servers look for. */
const makeCertificates = async (directory: string, signal: AbortSignal): Promise<void> => {
  const options = { timeout: 60_000, signal };
  const at = (name: string): string => `${directory}/${name}.pem`;
  await mkdir(directory);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  await run(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        ...newKey,
        '-subj',
        '/CN=nbdloop bench CA',
        '-keyout',
        at('ca-key'),
        '-out',
        at('ca-cert'),
      ],
    ],
    options,
  );
  await run(
    'openssl',
    [
      ...['req', '-x509', ...newKey, '-subj', '/CN=localhost', '-addext', 'basicConstraints=CA:FALSE'],
      ...[
        '-addext',
        'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-CA',
        at('ca-cert'),
        '-CAkey',
        at('ca-key'),
      ],
      ...['-keyout', at('server-key'), '-out', at('server-cert')],
    ],
    options,
  );
};
