/** The module that a thread loads the data path from; it exports `openDataPath`. */
export const DATA_PATH = new URL('./queue-rq.js', import.meta.url);
