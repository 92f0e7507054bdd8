/** Checks of nbdloop alone: what a ratio to a peer does not tell. */
import type { Site } from '../servers/server.js';

export interface CheckContext {
  /** Memory, Unix socket, an existing image. */
  readonly site: Site;
  readonly minutes: number;
  readonly signal: AbortSignal;
  readonly progress: (says: string) => void;
}

export interface CheckResult {
  readonly name: string;
  readonly reached: boolean;
  /** One line. */
  readonly says: string;
}

export type Check = (context: CheckContext) => Promise<CheckResult>;
