/** What Corosync, Pacemaker and GlusterFS are told: docs/cluster.md, as files and words. */

export const NODES = ['a', 'b', 'c'] as const;
export type NodeName = (typeof NODES)[number];
export const ADDRESSES: Readonly<Record<NodeName, string>> = { a: '10.9.0.1', b: '10.9.0.2', c: '10.9.0.3' };
/** Floats: where clients find the devices, one port each. */
export const FLOATING = '10.9.0.100';
export const FIRST_PORT = 10809;
export const VOLUME = 'images';

/** The options of docs/cluster.md, `group gluster-block` aside, which comes before them. */
export const VOLUME_OPTIONS: Readonly<Record<string, string>> = {
  'features.shard': 'off',
  'client.strict-locks': 'on',
  'network.ping-timeout': '5',
  'cluster.heal-timeout': '5',
  ...Object.fromEntries(
    ['server', 'client'].flatMap((side) => [
      [`${side}.tcp-user-timeout`, '5'],
      [`${side}.keepalive-time`, '2'],
      [`${side}.keepalive-interval`, '1'],
      [`${side}.keepalive-count`, '3'],
    ]),
  ),
};

export const COROSYNC = `totem {
  version: 2
  cluster_name: lab
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: 1000
  token_coefficient: 0
}
logging {
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  to_syslog: no
  to_stderr: no
  timestamp: hires
}
system {
  move_to_root_cgroup: no
}
quorum {
  provider: corosync_votequorum
  expected_votes: 3
}
nodelist {
${NODES.map((name, index) => `  node {\n    ring0_addr: ${ADDRESSES[name]}\n    name: ${name}\n    nodeid: ${index + 1}\n  }`).join('\n')}
}
`;

/** A device: its resource, its export and its file have one name. */
export const deviceName = (index: number): string => `disk${index}`;
export const fileOf = (name: string): string => `/mnt/images/${name}.img`;

export interface CibParts {
  /** Where the fence agent asks. */
  readonly power: string;
  readonly devices: number;
  /** The daemon's and the tool's program. */
  readonly nbdloopd: string;
  readonly nbdloop: string;
  /** Of this machine, that has the files: a volume has them unless told. */
  readonly directory?: string;
}

const pairs = (id: string, values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `<nvpair id="${id}-${name}" name="${name}" value="${value}"/>`)
    .join('');
const attributes = (id: string, values: Readonly<Record<string, string>>): string =>
  `<instance_attributes id="${id}-ia">${pairs(id, values)}</instance_attributes>`;
const operation = (id: string, name: string, interval: string, timeout: string): string =>
  `<op id="${id}-${name}" name="${name}" interval="${interval}" timeout="${timeout}"/>`;

const device = (index: number, { nbdloopd, nbdloop }: CibParts): string => {
  const name = deviceName(index);
  const listen = `${FLOATING}:${FIRST_PORT + index}`;
  const values = { file: fileOf(name), listen, options: '--insecure', nbdloopd, nbdloop };
  return `<primitive id="${name}" class="ocf" provider="nbdloop" type="device">${attributes(name, values)}<operations>
    ${operation(name, 'monitor', '5s', '20s')}${operation(name, 'start', '0s', '60s')}${operation(name, 'stop', '0s', '30s')}
  </operations></primitive>`;
};

const mountOf = ({ directory }: CibParts): Readonly<Record<string, string>> =>
  directory === undefined
    ? { device: `localhost:/${VOLUME}`, directory: '/mnt/images', fstype: 'glusterfs' }
    : { device: directory, directory: '/mnt/images', fstype: 'none', options: 'bind' };

/** Filesystem clone, then the floating address, then the devices, all on the node of the address. */
export const cib = (parts: CibParts): string => {
  const names = Array.from({ length: parts.devices }, (_, index) => deviceName(index));
  return `<cib validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="1">
<configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options">${pairs('o', {
    'stonith-enabled': 'true',
    'no-quorum-policy': 'stop',
    'dc-deadtime': '3s',
    'stonith-action': 'off',
    'cluster-name': 'lab',
    'startup-fencing': 'true',
    'start-failure-is-fatal': 'false',
  })}</cluster_property_set></crm_config>
  <nodes/>
  <resources>
    <primitive id="power" class="stonith" type="fence_lab">
      ${attributes('power', { pcmk_host_list: NODES.join(' '), pcmk_host_check: 'static-list', dir: parts.power })}
      <operations>${operation('power', 'monitor', '30s', '20s')}</operations>
    </primitive>
    <clone id="storage-clone"><meta_attributes id="sc-ma">${pairs('sc', { interleave: 'true' })}</meta_attributes>
      <primitive id="storage" class="ocf" provider="heartbeat" type="Filesystem">
        ${attributes('storage', mountOf(parts))}
        <operations>${operation('storage', 'monitor', '10s', '20s')}${operation('storage', 'start', '0s', '40s')}${operation('storage', 'stop', '0s', '20s')}</operations>
      </primitive>
    </clone>
    <primitive id="vip" class="ocf" provider="heartbeat" type="IPaddr2">
      ${attributes('vip', { ip: FLOATING, cidr_netmask: '24' })}
      <operations>${operation('vip', 'monitor', '5s', '20s')}</operations>
    </primitive>
    ${names.map((_, index) => device(index, parts)).join('')}
  </resources>
  <constraints>
    <rsc_order id="order-vip" first="storage-clone" then="vip" kind="Mandatory"/>
    <rsc_colocation id="with-storage" rsc="vip" with-rsc="storage-clone" score="INFINITY"/>
    ${names
      .map(
        (name) =>
          `<rsc_order id="order-${name}" first="vip" then="${name}" kind="Mandatory"/><rsc_colocation id="with-${name}" rsc="${name}" with-rsc="vip" score="INFINITY"/>`,
      )
      .join('')}
    <rsc_location id="power-somewhere" rsc="power" node="c" score="0"/>
  </constraints>
  <rsc_defaults><meta_attributes id="rd">${pairs('rd', { 'resource-stickiness': '100', 'migration-threshold': '3', 'failure-timeout': '60s' })}</meta_attributes></rsc_defaults>
</configuration>
<status/></cib>
`;
};
