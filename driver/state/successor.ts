/** Whether a daemon comes after this one: then everything is left to it. */
export class Successor {
  #isExpected: boolean;
  #hasAppeared = false;
  #settle: () => void = () => {};
  /** Resolves when another daemon asks for it. */
  readonly appeared: Promise<void> = new Promise((resolve) => {
    this.#settle = resolve;
  });

  /** `isExpected`: from the beginning, without being asked. */
  constructor(isExpected: boolean) {
    this.#isExpected = isExpected;
  }

  /** It has asked: it is there. */
  get hasAppeared(): boolean {
    return this.#hasAppeared;
  }

  get isExpected(): boolean {
    return this.#isExpected;
  }

  appear(): void {
    this.#isExpected = true;
    this.#hasAppeared = true;
    this.#settle();
  }
}
