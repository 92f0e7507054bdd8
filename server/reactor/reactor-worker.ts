/** Entry of a reactor's thread. It never returns to Node's event loop until it is stopped. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { DataPathModule } from '../backend.js';
import type { FromReactor, ReactorData, ToReactor } from './messages.js';
import { Reactor } from './reactor.js';

const data = workerData as ReactorData;
const port = parentPort as MessagePort;
const { openDataPath } = (await import(data.dataPath)) as DataPathModule;

new Reactor({
  dataPath: openDataPath(data.lane, data.port),
  wakeFd: data.wakeFd,
  wakeWord: new Int32Array(data.wakeWord),
  cpuLatencyFile: data.cpuLatencyFile,
  nextMessage: () => receiveMessageOnPort(port)?.message as ToReactor | undefined,
  post: (message: FromReactor) => port.postMessage(message),
}).run();
// Nothing listens on the port, and yet it would keep the thread.
port.close();
