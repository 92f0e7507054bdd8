/**
 * Where Node's inspector listens when SIGUSR1 asks for it: at no address. The loopback address has no zones, so no resolver finds
 * one for it, whatever the interfaces and the settings of the kernel are. Node takes the signal from its own first steps on, long
 * before a line of ours runs; a flag against that is in no Node before 22.14.
 *
 * The first line of each program's file says the same.
 */
export const NO_INSPECTOR = '--inspect-port=[::1%none]:9229';
