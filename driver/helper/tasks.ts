/** What the helper process can be asked: each task takes one argument and answers with plain data. */

import { isClaimed, isNodeUsed, touchNode } from './device-node.js';
import { freezeMounts, thawMounts } from './freeze-mounts.js';
import { hasLastingUser } from './lasting-user.js';
import { lockHolder } from './lock-holder.js';
import { dropPartitions, partitionsOf, readPartitions } from './partitions.js';
import { syncMounts } from './sync-mounts.js';
import { usersOf } from './users.js';

export const TASKS = {
  touchNode,
  isNodeUsed,
  isClaimed,
  syncMounts,
  freezeMounts,
  thawMounts,
  hasLastingUser,
  partitionsOf,
  readPartitions,
  dropPartitions,
  usersOf,
  lockHolder,
};

export type Tasks = typeof TASKS;
