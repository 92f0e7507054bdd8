/** What is about to be done, in a dialog: done when it is confirmed, and where it is refused the daemon's sentence. */

import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Refusal } from '../api.js';
import { store } from '../store.js';

interface ActionDialogProps {
  readonly title: string;
  /** What will happen. */
  readonly children: ComponentChildren;
  /** Word on the button that does it. */
  readonly confirm: string;
  readonly isDangerous?: boolean;
  /** Rejects with a Refusal. What it resolves with is told before the dialog closes; undefined: it closes. */
  readonly act: () => Promise<string | undefined>;
  readonly close: () => void;
}

export function ActionDialog({ title, children, confirm, isDangerous, act, close }: ActionDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOver = useRef(false);
  const [state, change] = useState<{ isBusy: boolean; error?: string; done?: string }>({ isBusy: false });
  useLayoutEffect(() => {
    const opener = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    return () => {
      isOver.current = true;
      // What is behind an open dialog cannot have the focus.
      element?.close();
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  // At once, and not when the browser tells that it is closed: the next dialog may be there by then.
  const cancel = (event: Event): void => {
    event.preventDefault();
    close();
  };
  const closed = (): void => {
    if (!isOver.current) close();
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (state.done !== undefined) {
      close();
      return;
    }
    change({ isBusy: true });
    try {
      const done = await act();
      store.acted();
      if (done === undefined) close();
      else change({ isBusy: false, done });
    } catch (error) {
      change({
        isBusy: false,
        error: error instanceof Refusal ? `${error.message} (${error.errno})` : String(error),
      });
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onCancel={cancel} onClose={closed}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id="dialog-title">{title}</h2>
        {state.done === undefined ? children : <p role="status">{state.done}</p>}
        {state.error !== undefined && (
          <p class="refusal" role="alert">
            {state.error}
          </p>
        )}
        <div class="buttons">
          {state.done === undefined && (
            <button type="button" onClick={close}>
              Cancel
            </button>
          )}
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={state.isBusy}>
            {state.done === undefined ? confirm : 'Close'}
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly change: (value: string) => void;
  readonly hint?: string;
  readonly required?: boolean;
  readonly inputMode?: 'numeric' | 'text';
}

export function Field({ label, value, change, hint, required, inputMode }: FieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="text"
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
        spellcheck={false}
        autocomplete="off"
        required={required ?? false}
        inputMode={inputMode ?? 'text'}
      />
      {hint !== undefined && <small>{hint}</small>}
    </label>
  );
}

interface CheckProps {
  readonly label: string;
  readonly value: boolean;
  readonly change: (value: boolean) => void;
}

export function Check({ label, value, change }: CheckProps) {
  return (
    <label class="check">
      <input type="checkbox" checked={value} onInput={(event) => change(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}
