/** Who may use which export: rules on what TLS has shown of a client, and the export table as that client sees it. */

import type { Export, ExportInfo, ExportTable } from '../export.js';

/** What a TLS client has shown; all absent: nothing. */
export interface Identity {
  /** The user of its pre-shared key. */
  readonly psk?: string;
  /** The parts of its certificate's subject, `CN=name` and so on, in any order. */
  readonly subject?: readonly string[];
  /** Its certificate's alternative names, `DNS:host` and so on. */
  readonly names?: readonly string[];
}

export interface Permission {
  /** A name of the export; undefined: all of them. */
  readonly export: string | undefined;
  readonly access: 'read-write' | 'read-only';
  readonly kind: 'psk' | 'dn' | 'san';
  /** For `dn` all parts of the subject; else one name. */
  readonly who: readonly string[];
}

/**
 * `EXPORT[:ro]=KIND:NAME`. EXPORT is a name or `*`; KIND is `psk` (a user), `dn` (a certificate's whole subject,
 * `CN=client,O=Example`, its parts in any order) or `san` (one of its alternative names, `DNS:host` or `host`).
 * Undefined where the text is none.
 */
export function parsePermission(text: string): Permission | undefined {
  const [, name = '', ro, kind, who = ''] = /^(.+?)(:ro)?=(psk|dn|san):(.+)$/s.exec(text) ?? [];
  if (name === '' || (kind !== 'psk' && kind !== 'dn' && kind !== 'san')) return undefined;
  return {
    export: name === '*' ? undefined : name,
    access: ro === undefined ? 'read-write' : 'read-only',
    kind,
    who: kind === 'dn' ? partsOf(who) : [who],
  };
}

/** Splits at commas that no backslash protects (RFC 4514). */
const partsOf = (subject: string): string[] =>
  (subject.match(/(?:\\.|[^,\\])+/gs) ?? []).map((part) => part.trim().replace(/\\(.)/gs, '$1'));

/** What a client may do with the export of these names; undefined: nothing. The widest of the rules that fit counts. */
export function accessOf(
  permissions: readonly Permission[],
  identity: Identity,
  names: readonly string[],
): Permission['access'] | undefined {
  const fitting = permissions.filter(
    (rule) => (rule.export === undefined || names.includes(rule.export)) && fits(rule, identity),
  );
  return fitting.find(({ access }) => access === 'read-write')?.access ?? fitting[0]?.access;
}

function fits({ kind, who }: Permission, { psk, subject, names }: Identity): boolean {
  const [name = ''] = who;
  if (kind === 'psk') return psk === name;
  if (kind === 'san') return names?.some((known) => known === name || bare(known) === name) ?? false;
  return subject !== undefined && sorted(subject) === sorted(who);
}

/** `DNS:host` without its kind. */
const bare = (name: string): string => name.slice(name.indexOf(':') + 1);
const sorted = (parts: readonly string[]): string => [...parts].sort().join('\n');

/** The exports that a client may use, as it may use them. Others are to it as if they did not exist. */
export function permittedExports(
  table: ExportTable,
  permissions: readonly Permission[],
  identity: Identity,
): ExportTable {
  const permitted = (found: Export | undefined): Export | undefined => {
    const access = found && accessOf(permissions, identity, found.names);
    return access === 'read-only' ? found && readOnlyExport(found) : access && found;
  };
  return {
    list: () => table.list().flatMap((found) => permitted(found) ?? []),
    find: (name) => permitted(table.find(name)),
  };
}

const readOnlyExport = (found: Export): Export => {
  const readOnly = (info: ExportInfo): ExportInfo => ({ ...info, readOnly: true });
  return {
    names: found.names,
    info: () => readOnly(found.info()),
    open: async () => {
      const opened = await found.open();
      return { ...opened, info: readOnly(opened.info), release: () => opened.release() };
    },
  };
};
