"""Runs the jobs of the conformance suite against a component in wasmtime-py.

usage: wasmtime_py.py COMPONENT < JOBS > ANSWERS

One job per line: a list of calls `[interface, function, [argument, ...]]`. One line comes back for each:
the list of answers. Each job gets an instance of its own. What a value looks like as JSON is told in
`src/codec.rs`; here the component's own types say what is what, so no type is written down twice. A number that not every JSON
reader can hold stands as `{"$wide": "…"}`.
"""

import json
import sys

from wasmtime import Config, Engine, Store
from wasmtime.component import (
    Component, EnumType, Linker, ListType, OptionType, Record, RecordType, ResultType, Variant, VariantType,
)


def host(engine):
    """A linker with the two imports. No case depends on the time or on entropy."""
    linker = Linker(engine)
    moment = Record()
    moment.seconds, moment.nanoseconds = 1_769_860_800, 0
    with linker.root() as root:
        with root.add_instance("wasi:clocks/wall-clock@0.2.0") as clock:
            clock.add_func("now", lambda _store: moment)
        with root.add_instance("wasi:random/random@0.2.0") as random:
            random.add_func("get-random-bytes", lambda _store, count: bytes([7]) * count)
    return linker


def lower(ty, value):
    """JSON to what wasmtime-py takes for a value of this type."""
    if isinstance(ty, RecordType):
        record = Record()
        for name, field in ty.fields:
            setattr(record, name, lower(field, value[name]))
        return record
    if isinstance(ty, ListType):
        return [lower(ty.element, item) for item in value]
    if isinstance(ty, OptionType):
        return None if value is None else lower(ty.payload, value)
    if isinstance(ty, VariantType):
        if isinstance(value, str):
            return Variant(value)
        ((tag, payload),) = value.items()
        return Variant(tag, lower(dict(ty.cases)[tag], payload))
    return value


def lift(ty, value):
    """What wasmtime-py gives for a value of this type to JSON."""
    if isinstance(ty, RecordType):
        return {name: lift(field, getattr(value, name)) for name, field in ty.fields}
    if isinstance(ty, ListType):
        return [lift(ty.element, item) for item in value]
    if isinstance(ty, OptionType):
        return None if value is None else lift(ty.payload, value)
    if isinstance(ty, EnumType):
        return value
    return value


def answer(ty, value):
    if not isinstance(ty, ResultType):
        return {"ok": lift(ty, value)}
    if isinstance(value, Variant):
        return {value.tag: lift(ty.ok if value.tag == "ok" else ty.err, value.payload)}
    # A value that can be told from a refusal by its Python type comes without a tag; refusals are lists.
    return {"err": lift(ty.err, value)} if isinstance(value, list) else {"ok": lift(ty.ok, value)}


def resolve(argument, answers):
    if not isinstance(argument, dict):
        return argument
    if "$wide" in argument:
        return int(argument["$wide"])
    if "$from" in argument:
        number, key = argument["$from"]
        given = answers[number].get("ok") or {}
        return given.get(key, "")
    return {key: resolve(value, answers) for key, value in argument.items()}


def run(engine, linker, component, job):
    store = Store(engine)
    instance = linker.instantiate(store, component)
    answers = []
    for interface, function, arguments in job:
        index = instance.get_export_index(store, function, instance.get_export_index(store, interface))
        func = instance.get_func(store, index)
        ty = func.type(store)
        lowered = [lower(t, resolve(a, answers)) for (_, t), a in zip(ty.params, arguments, strict=True)]
        value = func(store, *lowered)
        func.post_return(store)
        answers.append(answer(ty.result, value))
    return answers


def main():
    engine = Engine(Config())
    linker = host(engine)
    component = Component.from_file(engine, sys.argv[1])
    sys.stdout.reconfigure(encoding="utf-8")
    for line in sys.stdin.buffer:
        print(json.dumps(run(engine, linker, component, json.loads(line))), flush=True)


main()
