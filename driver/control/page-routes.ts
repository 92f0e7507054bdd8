/** Where the page is (driver/web), for the owner of the control socket: `nbdloop web` asks. */

import type { FastifyInstance } from 'fastify';
import { LoopError } from '../errno.js';
import type { ControlContext, ControlledPage } from './context.js';
import { errorBody, pageAddress } from './schemas.js';

const answers = { 200: pageAddress, default: errorBody };

export function pageRoutes(app: FastifyInstance, context: ControlContext): void {
  app.get(
    '/web',
    { schema: { summary: 'The address of the page, with the token that it takes', response: answers } },
    async () => pageOf(context).address(),
  );
  app.post(
    '/web/token',
    {
      schema: {
        summary: 'A new token: whoever has the page open with the old one is out',
        response: answers,
      },
    },
    async () => {
      await pageOf(context).renewToken();
      return pageOf(context).address();
    },
  );
}

function pageOf({ page }: ControlContext): ControlledPage {
  if (page === null)
    throw new LoopError('ENOENT', 'this daemon serves no page; start it with --web HOST:PORT');
  return page;
}
