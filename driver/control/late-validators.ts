/**
 * How requests are held against their schemas. What compiles a schema is loaded for the first request that has one, and
 * each is compiled for its first request: doing so before took longer than the rest of a start together.
 */
import type { BuildCompilerFromPool } from '@fastify/ajv-compiler';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';

type Compilers = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>;
type Compile = ReturnType<BuildCompilerFromPool>;
type Validate = ReturnType<Compile>;

let factory: BuildCompilerFromPool | undefined;

const buildValidator: BuildCompilerFromPool = (external, options) => {
  let compile: Compile | undefined;
  return (route) => {
    let validate: Validate | undefined;
    const late = (data: unknown): boolean => {
      if (factory === undefined)
        throw new Error('a request is validated before what compiles its schema is there');
      compile ??= factory(external, options);
      validate ??= compile(route);
      const isValid = validate(data) === true;
      // Fastify looks for what is wrong on the function that it called.
      late.errors = validate.errors;
      return isValid;
    };
    late.errors = undefined as Validate['errors'];
    return late as Validate;
  };
};

/** Answers are typed: their schemas describe them and change nothing. */
export const compilersFactory: Compilers = {
  buildValidator,
  buildSerializer: () => () => (data) => JSON.stringify(data),
};

export function loadValidators(app: FastifyInstance): void {
  app.addHook('preValidation', async ({ routeOptions: { schema } }) => {
    if (factory !== undefined || schema === undefined) return;
    if ((schema.body ?? schema.params ?? schema.querystring) === undefined) return;
    const { default: selector } = await import('@fastify/ajv-compiler');
    factory ??= selector();
  });
}
