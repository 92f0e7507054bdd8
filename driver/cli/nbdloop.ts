#!/usr/bin/env -S -u NODE_OPTIONS -u NODE_EXTRA_CA_CERTS -u NODE_PATH -u NODE_V8_COVERAGE -u NODE_COMPILE_CACHE -u NODE_REDIRECT_WARNINGS -u NODE_ICU_DATA -u NODE_DEBUG -u OPENSSL_CONF node --inspect-port=[::1%none]:9229
/** nbdloop: what losetup has no word for. */

import { commandLine } from './arguments.js';
import { runProgram } from './fail.js';
import { nbdloopProgram } from './nbdloop-program.js';

runProgram('nbdloop', async () => {
  await nbdloopProgram().parseAsync(commandLine(), { from: 'user' });
  return Number(process.exitCode ?? 0);
});
