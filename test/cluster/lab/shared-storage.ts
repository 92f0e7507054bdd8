/** What the nodes have their files on. */
import type { ClusterNode } from './node.js';

/** Bytes of each device's file. */
export const FILE_SIZE = 64 << 20;

export interface SharedStorage {
  /** What of it runs on a node. */
  startServer(node: ClusterNode): Promise<void>;
  answers(node: ClusterNode): Promise<void>;
  /** Empty files of FILE_SIZE, once every node answers. */
  create(files: readonly string[]): Promise<void>;
  /** Every part of it is up. */
  isWhole(): Promise<void>;
  /** Every node reaches every part. */
  reached(): Promise<void>;
  /** Every part has what the others have. Under writes that can't be told. */
  healed(): Promise<void>;
}
