/** How overlays hang together: each base, what is over it, and the devices that show it. */

import type { LayerAnswer } from '../../../../control/messages.js';
import type { Overlays as Answer } from '../../../live-messages.js';
import { fileName, many } from '../format.js';
import { LayerShare } from '../parts/bench.js';
import { useLook } from '../use-look.js';

interface Node {
  readonly layer: LayerAnswer;
  readonly over: Map<string, Node>;
  readonly devices: { readonly number: number; readonly name: string }[];
}

/** Branches of a node that are shown at once. */
const SHOWN = 200;

export function Overlays() {
  const { value } = useLook<Answer>('/overlays', 2);
  const roots = treeOf(value ?? []);
  return (
    <>
      <div class="head">
        <h1>Overlays</h1>
        <p class="totals">
          {value !== undefined && (
            <span>
              <b>{value.length}</b> {value.length === 1 ? 'device' : 'devices'} over{' '}
              {many(roots.size, 'base')}
            </span>
          )}
        </p>
      </div>
      {value === undefined ? (
        <p class="faint empty">Waiting for the daemon.</p>
      ) : roots.size === 0 ? (
        <p class="faint empty">
          No device is an overlay. <code>nbdlosetup --overlay DELTA -f BASE</code> makes one: the image stays
          as it is, and what is written goes into the delta.
        </p>
      ) : (
        <Branches nodes={roots} />
      )}
    </>
  );
}

function Branches({ nodes }: { nodes: ReadonlyMap<string, Node> }) {
  const all = [...nodes];
  return (
    <ul class="tree">
      {all.slice(0, SHOWN).map(([key, { layer, over, devices }]) => (
        <li key={key}>
          <div class="node">
            <span class="kind">{layer.kind}</span>
            <code>{fileName(layer.path)}</code>
            <LayerShare layer={layer} />
            {devices.map(({ number, name }) => (
              <a key={number} class="tag" href={`#/devices/${number}`}>
                {name}
              </a>
            ))}
          </div>
          {over.size > 0 && <Branches nodes={over} />}
        </li>
      ))}
      {all.length > SHOWN && <li class="faint">and {all.length - SHOWN} more</li>}
    </ul>
  );
}

/** From the bases up. */
function treeOf(overlays: Answer): Map<string, Node> {
  const roots = new Map<string, Node>();
  for (const { number, name, layers } of overlays) {
    let level = roots;
    let node: Node | undefined;
    for (const layer of [...layers].reverse()) {
      const key = `${layer.device} ${layer.inode}`;
      node = level.get(key) ?? { layer, over: new Map(), devices: [] };
      level.set(key, node);
      level = node.over;
    }
    node?.devices.push({ number, name });
  }
  return roots;
}
