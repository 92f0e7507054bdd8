#!/usr/bin/env -S -u NODE_OPTIONS -u NODE_EXTRA_CA_CERTS -u NODE_PATH -u NODE_V8_COVERAGE -u NODE_COMPILE_CACHE -u NODE_REDIRECT_WARNINGS -u NODE_ICU_DATA -u NODE_DEBUG -u OPENSSL_CONF node --inspect-port=[::1%none]:9229
/** nbdloopd: the daemon's program. */

import { startPrepared } from '../process-start.js';

// The first step, before anything else loads or starts a thread.
startPrepared();
const [{ runProgram }, { runDaemon }, { commandLine }] = await Promise.all([
  import('./fail.js'),
  import('./run-daemon.js'),
  import('./arguments.js'),
]);

runProgram('nbdloopd', () => runDaemon(commandLine()));
