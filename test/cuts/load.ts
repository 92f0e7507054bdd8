/** What runs on a file system when the power goes. */
export interface Load {
  /** Steps so far, over all rounds. */
  readonly done: number;
  /** Runs until it is over, or fails, which it does when the disk is gone. */
  start(directory: string, over: () => boolean): Promise<void>;
  /**
   * The power is about to go: what it is told from here on is not believed. (A kernel whose disk is gone may still say that an fsync was
   * well: ext4 of a directory, say, when the commit that it waited for has failed before.)
   */
  seal(): void;
  /** On what is left, mounted anew: what is wrong with it, in words. */
  check(directory: string): Promise<string[]>;
}
