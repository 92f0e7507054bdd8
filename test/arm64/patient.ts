/** Imported before a test file where everything is slow: what limits itself has more time. */
import t from 'tap';

const TIMES = 10;

const limit = t.setTimeout.bind(t);
t.setTimeout = (milliseconds: number): void => limit(milliseconds * TIMES);
