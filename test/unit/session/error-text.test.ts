import { constants } from 'node:os';
import t from 'tap';
import { errorText } from '../../../server/session/error-text.js';
import { PLAIN_REPLY_BYTES } from '../../../server/session/replies.js';
import { Size } from '../../../server/wire/constants.js';

t.test('every error is told in words that fit in a reply', async (t) => {
  const errnos = Object.values(constants.errno);
  const texts = errnos.map((errno) => Buffer.from(errorText(errno)).toString());
  t.ok(texts.every((text) => /^E[A-Z]+: [a-z]/.test(text)));
  const longest = Math.max(...texts.map((text) => Buffer.byteLength(text)));
  t.ok(Size.EXTENDED_REPLY + 6 + longest <= PLAIN_REPLY_BYTES, `${longest}`);
});
