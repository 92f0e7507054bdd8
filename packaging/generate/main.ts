/** Writes man pages and completions from the programs' option tables: `npm run generate`. */

import { writeFileSync } from 'node:fs';
import { generatedFiles } from './files.js';

for (const [path, text] of generatedFiles()) writeFileSync(path, text);
