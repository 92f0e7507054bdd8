/**
 * A thread that carries the bytes of one connection over TLS: between the kernel's end of a socketpair and the session. It
 * ends with either of the two, and the other one with it.
 */

import { Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { parentPort, workerData } from 'node:worker_threads';
import { LoopError } from '../errno.js';
import { closeDescriptor, socketPair } from '../kernel/netlink/calls.js';
import type { CarrierData, FromCarrier } from './carrier-messages.js';
import { asLoopError } from './connect.js';
import { negotiateTls } from './negotiate-tls.js';

/** The kernel's end, and a stream of ours that is joined to the session. */
function carry(secure: Duplex): number {
  const pair = socketPair();
  if (pair === undefined) {
    secure.destroy();
    throw new LoopError('EMFILE', 'no socket can be had for the connection');
  }
  const ours = new Socket({ fd: pair.ours, readable: true, writable: true, allowHalfOpen: false });
  // Whichever ends, ends the other: the kernel learns of it by the end of its socket.
  const end = (): void => {
    ours.destroy();
    secure.destroy();
  };
  pipeline(ours, secure, end);
  pipeline(secure, ours, end);
  return pair.kernels;
}

async function run({ address, tls }: CarrierData, post: (message: FromCarrier) => void): Promise<void> {
  try {
    const { facts, secure } = await negotiateTls(address, tls, new AbortController().signal);
    const fd = carry(secure);
    try {
      post({ kind: 'agreed', facts, fd });
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  } catch (error) {
    const { errno, message } = asLoopError(error);
    post({ kind: 'failed', errno, message });
  }
}

const port = parentPort;
if (port !== null) void run(workerData as CarrierData, (message) => port.postMessage(message));
