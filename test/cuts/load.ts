/** What runs on a file system when the power goes. */
export interface Load {
  /** Steps so far, over all rounds. */
  readonly done: number;
  /** Runs until it is over, or fails, which it does when the disk is gone. */
  start(directory: string, over: () => boolean): Promise<void>;
  /** On what is left, mounted anew: what is wrong with it, in words. */
  check(directory: string): Promise<string[]>;
}
