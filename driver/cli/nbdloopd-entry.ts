#!/usr/bin/env node
/** nbdloopd as it is installed: the first step of the program, before anything else loads or starts a thread. */

import { becomeIoFlusher } from '../io-flusher.js';

becomeIoFlusher();
await import('./nbdloopd.js');
