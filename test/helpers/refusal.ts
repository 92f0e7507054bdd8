/** The errno name that an operation is refused with, or 'success'. */
export const refusal = (operation: Promise<unknown>): Promise<string> =>
  operation.then(
    () => 'success',
    (error: Error & { errno?: string }) => error.errno ?? error.message,
  );
