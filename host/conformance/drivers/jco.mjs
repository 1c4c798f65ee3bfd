// Runs the jobs of the conformance suite against a component that jco made JavaScript of.
//
// usage: node jco.mjs TRANSPILED/component.js < JOBS > ANSWERS
//
// One job per line: a list of calls `[interface, function, [argument, …]]`. One line comes back for each:
// the list of answers. Each job gets an instance of its own. What a value looks like as JSON is told in
// `src/codec.rs`. jco gives no types at run time, so two rules of the contract stand in for them: what is
// 64 bits wide is called `…-ms`, `…-us` or `generation`, and an option that is absent is `undefined`.
// A number that JSON numbers cannot hold here stands as `{"$wide": "…"}`.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [, , transpiled] = process.argv;
const { instantiate } = await import(pathToFileURL(transpiled));

const modules = new Map();
const getCoreModule = (name) => {
  if (!modules.has(name)) {
    modules.set(name, new WebAssembly.Module(readFileSync(join(dirname(transpiled), name))));
  }
  return modules.get(name);
};
// No case depends on the time or on entropy.
const imports = {
  'wasi:clocks/wall-clock': { now: () => ({ seconds: 1_769_860_800n, nanoseconds: 0 }) },
  'wasi:random/random': { getRandomBytes: (count) => new Uint8Array(Number(count)).fill(7) },
};

const camel = (name) => name.replace(/-(.)/g, (_, c) => c.toUpperCase());
const kebab = (name) => name.replace(/[A-Z]/g, (c) => '-' + c.toLowerCase());
const isWide = (name) => /-(ms|us)$/.test(name) || name === 'generation';
// Arguments that stand alone have no name at run time; these are the wide ones, by their place.
const WIDE_ARGUMENTS = { step: [3], 'backoff-delay': [2] };

const lower = (value, name) => {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map((item) => lower(item));
  if (typeof value === 'number' || typeof value === 'bigint') return isWide(name ?? '') ? BigInt(value) : Number(value);
  if (typeof value !== 'object') return value;
  if ('report' in value) return { tag: 'report', val: lower(value.report) };
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [camel(key), lower(item, key)]));
};

const lift = (value) => {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(lift);
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : { $wide: `${value}` };
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [kebab(key), lift(item)]));
};

const resolve = (argument, answers) => {
  if (argument === null || typeof argument !== 'object' || Array.isArray(argument)) return argument;
  if ('$wide' in argument) return BigInt(argument.$wide);
  if ('$from' in argument) {
    const [number, key] = argument.$from;
    return answers[number].ok?.[key] ?? '';
  }
  return Object.fromEntries(Object.entries(argument).map(([key, value]) => [key, resolve(value, answers)]));
};

const run = (job) => {
  const component = instantiate(getCoreModule, imports, (module, given) => new WebAssembly.Instance(module, given));
  const answers = [];
  for (const [face, name, given] of job) {
    const wide = WIDE_ARGUMENTS[name] ?? [];
    const call = component[face][camel(name)];
    const values = given.map((argument, at) => {
      const value = resolve(argument, answers);
      // The input of a breaker is a variant: a mere name is a case without a value.
      if (name === 'step' && at === 2 && typeof value === 'string') return { tag: value };
      return lower(value, wide.includes(at) ? 'now-ms' : undefined);
    });
    try {
      answers.push({ ok: lift(call(...values)) });
    } catch (error) {
      if (!Array.isArray(error?.payload)) throw error;
      answers.push({ err: lift(error.payload) });
    }
  }
  return answers;
};

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(run(JSON.parse(line))) + '\n');
}
