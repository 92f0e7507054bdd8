/**
 * A thread that talks to the kernel: the send that carries a command may run the command before it returns, so no
 * thread that the data path or the control API needs may do it. Between commands it waits for what the kernel has
 * to tell: dead links, changed mounts.
 */

import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  answerWake,
  closeDescriptor,
  errno,
  joinGroup,
  netlinkSocket,
  POLLIN,
  POLLPRI,
  receive,
  sendAll,
  waitFor,
} from './calls.js';
import { encodeRequest, type GenericMessage, messagesIn } from './message.js';
import { Controller, decodeFamily, encodeFamilyName, indexIn, NbdCommand, type NbdFamily } from './nbd.js';
import type { FromKernelThread, KernelThreadData, ToKernelThread } from './thread-messages.js';

/** Answers of the nbd family are a few hundred bytes; STATUS of a thousand devices is some 24 KiB. */
const DATAGRAM_BYTES = 256 * 1024;

interface Answer {
  readonly errno: number;
  readonly replies: readonly Buffer[];
}

class KernelThread {
  readonly #post: (message: FromKernelThread) => void;
  readonly #buffer = Buffer.alloc(DATAGRAM_BYTES);
  readonly #socket = netlinkSocket();
  readonly #events = netlinkSocket();
  readonly #mounts = openSync('/proc/self/mountinfo', 'r');
  #sequence = 0;
  #family: NbdFamily | undefined;

  constructor(post: (message: FromKernelThread) => void) {
    this.#post = post;
  }

  /** Runs until it is told to stop. */
  run({ wakeFd }: KernelThreadData, nextMessage: () => ToKernelThread | undefined): void {
    const descriptors = [
      { fd: wakeFd, events: POLLIN },
      { fd: this.#events, events: POLLIN },
      { fd: this.#mounts, events: POLLPRI },
    ];
    for (;;) {
      const [isWoken, hasEvent, hasMounts] = waitFor(descriptors);
      if (hasEvent) this.#tellEvents();
      if (hasMounts) this.#post({ kind: 'mounts' });
      if (!isWoken) continue;
      answerWake(wakeFd);
      for (let message = nextMessage(); message !== undefined; message = nextMessage()) {
        if (message.kind === 'stop') {
          this.#close();
          return;
        }
        const { id, command, attributes } = message.ask;
        this.#post({ kind: 'answer', id, ...this.#ask(command, Buffer.from(attributes)) });
      }
    }
  }

  #close(): void {
    closeDescriptor(this.#socket);
    closeDescriptor(this.#events);
    closeSync(this.#mounts);
  }

  #ask(command: number, attributes: Buffer): Answer {
    this.#family ??= this.#findFamily();
    if (this.#family === undefined) return { errno: constants.errno.ENOENT, replies: [] };
    return this.#request(this.#family.id, command, attributes);
  }

  /** The family's id, with its group joined; undefined while there is no such family to be seen. */
  #findFamily(): NbdFamily | undefined {
    const { replies } = this.#request(Controller.FAMILY, Controller.GET_FAMILY, encodeFamilyName());
    const family = replies.map(decodeFamily).find((found) => found !== undefined);
    if (family?.group !== undefined) joinGroup(this.#events, family.group);
    return family;
  }

  /** Sends, and receives until the acknowledgement. */
  #request(family: number, command: number, attributes: Buffer): Answer {
    const sequence = ++this.#sequence;
    if (sendAll(this.#socket, encodeRequest({ family, command, sequence, attributes })) < 0) {
      return { errno: errno(), replies: [] };
    }
    const replies: Buffer[] = [];
    for (;;) {
      const received = receive(this.#socket, this.#buffer);
      if (received < 0) return { errno: errno(), replies };
      for (const message of messagesIn(this.#buffer.subarray(0, received))) {
        if (message.sequence !== sequence) continue;
        if (message.errno !== undefined) return { errno: message.errno, replies };
        replies.push(Buffer.from(message.attributes));
      }
    }
  }

  #tellEvents(): void {
    const received = receive(this.#events, this.#buffer);
    if (received < 0) return; // ENOBUFS: events were lost; whoever serves the socket sees its end as well
    for (const message of messagesIn(this.#buffer.subarray(0, received))) this.#tellEvent(message);
  }

  #tellEvent({ type, command, attributes }: GenericMessage): void {
    if (type !== this.#family?.id || command !== NbdCommand.LINK_DEAD) return;
    const index = indexIn(attributes);
    if (index !== undefined) this.#post({ kind: 'link-dead', index });
  }
}

const port = parentPort;
if (port !== null) {
  new KernelThread((message) => port.postMessage(message)).run(
    workerData as KernelThreadData,
    () => receiveMessageOnPort(port)?.message as ToKernelThread | undefined,
  );
}
