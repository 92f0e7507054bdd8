/** A man page in roff's man macros. */

import type { OptionSpec } from '../../driver/cli/getopt.js';
import { optionUsage } from '../../driver/cli/losetup-help.js';
import type { ProgramDoc } from './model.js';
import type { Section } from './sections.js';

/** Of the last change to what the pages say. */
const DATE = '2026-11-25';
/** Longest line of source, in characters, that readers of the source are used to. */
const WIDTH = 80;

/** Section 8 pages of this project refer to each other. */
export function manPage(
  program: ProgramDoc,
  sections: readonly Section[],
  others: readonly string[],
  version: string,
): string {
  const lines = [
    `.TH ${program.name.toUpperCase()} 8 "${DATE}" "nbdloop ${version}" "System Administration"`,
    '.SH NAME',
    `${text(program.name)} \\- ${text(lowerFirst(program.summary.replace(/[.,]( .*)?$/, '')))}`,
    '.SH SYNOPSIS',
    ...program.synopsis.flatMap((line) => ['.nf', bold(line), '.fi']),
    '.SH DESCRIPTION',
    filled(program.summary),
    ...(program.commands.length > 0 ? ['.SH COMMANDS', ...program.commands.flatMap(commandLines)] : []),
    '.SH OPTIONS',
    ...program.options.flatMap(optionLines),
    ...sections.flatMap(({ title, paragraphs }) => [`.SH ${title}`, ...paragraphs.flatMap(paragraphLines)]),
    '.SH SEE ALSO',
    [...others.map((name) => `.BR ${name} (8)`), '.BR losetup (8)', '.BR nbd-client (8)'].join(',\n'),
  ];
  return `${lines.join('\n')}\n`;
}

function commandLines({ name, summary, options }: ProgramDoc['commands'][number]): string[] {
  return ['.TP', bold(name), filled(summary), '.RS', ...options.flatMap(optionLines), '.RE'];
}

function optionLines(option: OptionSpec): string[] {
  return ['.TP', bold(optionUsage(option).trim()), filled(sentence(option.help))];
}

/** A heading begins the first paragraph by itself. */
function paragraphLines(paragraph: string, at: number): string[] {
  const begin = at === 0 ? [] : ['.PP'];
  if (!paragraph.startsWith('    ')) return [...begin, filled(paragraph)];
  return [...begin, '.RS', '.nf', text(paragraph.trim()), '.fi', '.RE'];
}

/** Words that roff fills a paragraph with, on lines that a person can read. */
function filled(words: string): string {
  const lines = [''];
  for (const word of words.split(' ')) {
    const line = lines.at(-1) ?? '';
    const longer = line === '' ? word : `${line} ${word}`;
    if (text(longer).length <= WIDTH) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map(text).join('\n');
}

const bold = (words: string): string => `\\fB${text(words)}\\fR`;
const sentence = (help: string): string => `${help.charAt(0).toUpperCase()}${help.slice(1)}.`;
const lowerFirst = (words: string): string => words.charAt(0).toLowerCase() + words.slice(1);

/** roff takes a backslash, a dash, and a dot or quote at a line's start for its own. */
const text = (words: string): string =>
  words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/, '\\&');
