/** Work that turns a device from one settled state into another, and those who wait for it to end. */
export class Transitions {
  #running = 0;
  #waiters: (() => void)[] = [];

  /** Begins one; call what it returns once, at its end. */
  begin(): () => void {
    this.#running++;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#running--;
      if (this.#running === 0) for (const wake of this.#waiters.splice(0)) wake();
    };
  }

  /** Resolves when none is running: at once when none is. Never while one is. */
  async settled(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}
