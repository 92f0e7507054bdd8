#!/usr/bin/env node
/** nbdloop: what losetup has no word for. */

import { runProgram } from './fail.js';
import { nbdloopProgram } from './nbdloop-program.js';

runProgram('nbdloop', async () => {
  await nbdloopProgram().parseAsync();
  return Number(process.exitCode ?? 0);
});
