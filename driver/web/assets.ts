/** The page's files, as the build made them: few, small and compressed, so they are kept in memory. */

import { readdirSync, readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LoopError } from '../errno.js';
import { PAGE_DIRECTORY } from '../page-directory.js';

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

interface Asset {
  readonly type: string;
  readonly plain: Buffer;
  readonly brotli: Buffer | undefined;
  readonly gzip: Buffer | undefined;
  /** A name with a hash in it never means anything else. */
  readonly isForever: boolean;
}

/**
 * Nothing is run, styled or fetched but what is ours. Styles that scripts set on elements are not what a policy means by
 * inline ones.
 */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
};

/** `directory`: file URL of the built page, which ends with a slash. ENOENT where it was not built. */
export function assetRoutes(app: FastifyInstance, directory: URL = PAGE_DIRECTORY): void {
  for (const [name, asset] of readAssets(directory)) {
    const url = name === 'index.html' ? '/' : `/${name}`;
    app.get(url, { schema: { hide: true } }, (request, reply) =>
      sendAsset(reply, asset, String(request.headers['accept-encoding'] ?? '')),
    );
  }
}

function readAssets(directory: URL): Map<string, Asset> {
  const read = (name: string): Buffer => readFileSync(new URL(name, directory));
  let names: string[];
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch {
    throw new LoopError('ENOENT', `the page was not built: there is no ${directory.pathname}`);
  }
  const assets = new Map<string, Asset>();
  for (const name of names) {
    const type = TYPES[name.split('.').at(-1) ?? ''];
    if (type === undefined) continue;
    assets.set(name, {
      type,
      plain: read(name),
      brotli: names.includes(`${name}.br`) ? read(`${name}.br`) : undefined,
      gzip: names.includes(`${name}.gz`) ? read(`${name}.gz`) : undefined,
      isForever: name.startsWith('assets/'),
    });
  }
  return assets;
}

function sendAsset(reply: FastifyReply, asset: Asset, accepted: string): FastifyReply {
  reply
    .type(asset.type)
    .header('vary', 'accept-encoding')
    .header('cache-control', asset.isForever ? 'public, max-age=31536000, immutable' : 'no-cache');
  if (asset.brotli !== undefined && /\bbr\b/.test(accepted)) {
    return reply.header('content-encoding', 'br').send(asset.brotli);
  }
  if (asset.gzip !== undefined && /\bgzip\b/.test(accepted)) {
    return reply.header('content-encoding', 'gzip').send(asset.gzip);
  }
  return reply.send(asset.plain);
}
