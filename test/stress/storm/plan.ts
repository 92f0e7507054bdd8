/** Who is who in a storm: devices, files, and which part of a file is for what. All sizes are bytes. */

/** loop0 and up: their files stay. */
export const STABLE_DEVICES = 2;
/** Devices that are added, bound, cleared and removed at random; a find may add the last ones. */
export const UNSTABLE_NUMBERS = [2, 3, 4, 5, 6, 7] as const;

/** Its requests fail, wait and hang, but what is answered is so; no find binds it. */
export const HONEST_DEVICE = 8;
/** Whatever goes wrong with a disk goes wrong here: faults of all kinds, power cuts, and now and then another binding. */
export const WILD_DEVICE = 9;

export const PATTERN_FILES = 3;
export const PATTERN_BYTES = 4 << 20;
/** Where an unstable device may begin in its file. */
export const OFFSETS: readonly number[] = [0, 4096, 65_536, 512];
/** 0: none. */
export const LIMITS = [0, 0, 1 << 20] as const;
/** Readers stay below, wherever the device begins: there the pattern is never written over. */
export const READABLE_BYTES = 3 << 19;
/** Writers stay above. */
export const SCRATCH_START = 2 << 20;
