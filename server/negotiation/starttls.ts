import { Opt, Rep } from '../wire/constants.js';
import { ack, type OptionHandler, refuse } from './session.js';

/** STARTTLS: after the ACK nothing of this handshake counts any more ("TLS support"). */
export const startTls: OptionHandler = (session, data) => {
  const { tls } = session.options;
  if (session.secure) return refuse(Opt.STARTTLS, Rep.ERR_INVALID, 'TLS is in use already.');
  if (tls === 'off') return refuse(Opt.STARTTLS, Rep.ERR_POLICY, 'This server does not offer TLS.');
  if (data.length > 0) return refuse(Opt.STARTTLS, Rep.ERR_INVALID, 'STARTTLS takes no data.');
  return { ...ack(Opt.STARTTLS), outcome: { kind: 'starttls', clientFlags: session.clientFlags } };
};
