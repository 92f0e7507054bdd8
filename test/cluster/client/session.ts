/** A session with the floating address, as patient with a slow server as the kernel is, and quick to notice one that is gone. */
import { connect, type Socket } from 'node:net';
import { setOption } from '../../../driver/kernel/netlink/calls.js';
import { descriptorOf } from '../../../driver/remote/connect.js';
import { NbdSession } from '../../helpers/nbd-session.js';

const CONNECT_MS = 1000;
/** Longer than anything here takes, milliseconds: who answers late may still do what he was asked. */
const ANSWER_MS = 90_000;
const IPPROTO_TCP = 6;
const TcpOption = { KEEPINTVL: 5, KEEPCNT: 6, USER_TIMEOUT: 18 } as const;

/** Takes an export; throws when it can't be had within a second. */
export async function openSession(host: string, port: number, name: string): Promise<NbdSession> {
  const socket = connect({ host, port, noDelay: true });
  const timer = setTimeout(() => socket.destroy(new Error('no answer within a second')), CONNECT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const session = await NbdSession.take(socket, name);
    watch(socket);
    return session;
  } finally {
    clearTimeout(timer);
  }
}

/** A peer's kernel that is silent for 3 s is gone. */
function watch(socket: Socket): void {
  socket.setKeepAlive(true, 1000);
  const fd = descriptorOf(socket);
  setOption(fd, IPPROTO_TCP, TcpOption.KEEPINTVL, 1);
  setOption(fd, IPPROTO_TCP, TcpOption.KEEPCNT, 3);
  setOption(fd, IPPROTO_TCP, TcpOption.USER_TIMEOUT, 3000);
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
}
