//! Rewrites the names of a module's functions: demangled, as the frames of a trap tell them, and
//! without the hashes of the mangled form, which are a third of it. Names of functions that nobody wrote here
//! go: those of the standard library, and of the glue around the exports. Touches nothing else.

use anyhow::{Context as _, Result};
use wasm_encoder::{Module, NameMap, NameSection, RawSection};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// `module` with readable names. Those of locals, globals and segments go: no frame tells them.
pub(crate) fn demangle(module: &[u8]) -> Result<Vec<u8>> {
    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload
            && let KnownCustom::Name(names) = section.as_known()
        {
            out.section(&demangled(names)?);
        } else if let Some((id, range)) = payload.as_section() {
            let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
            let data = module.get(range).context("a section lies in its module")?;
            out.section(&RawSection { id, data });
        }
    }
    Ok(out.finish())
}

/// The standard library, whose functions are told by number in a trap: who called them says more, and whom they
/// call where it is the generated glue.
const LIBRARIES: [&str; 8] =
    ["core::", "alloc::", "std::", "<core::", "<alloc::", "<std::", "dlmalloc::", "<dlmalloc::"];

fn demangled(names: NameSectionReader<'_>) -> Result<NameSection> {
    let mut functions = NameMap::new();
    for name in names {
        let Name::Function(map) = name? else { continue };
        for naming in map {
            let naming = naming?;
            let name = format!("{:#}", rustc_demangle::demangle(naming.name));
            let is_glue = name.contains("::bindings::") || name.starts_with("cabi_post_");
            if !is_glue && !LIBRARIES.iter().any(|library| name.starts_with(library)) {
                functions.append(naming.index, &name);
            }
        }
    }
    let mut section = NameSection::new();
    section.functions(&functions);
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::demangle;
    use wasm_encoder::{CodeSection, Function, FunctionSection, Module, NameMap, NameSection, TypeSection};
    use wasmparser::{KnownCustom, Name, Parser, Payload, Validator};

    /// A module of functions with names.
    fn module() -> Vec<u8> {
        let (mut types, mut functions, mut code) =
            (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        let (mut names, mut map) = (NameSection::new(), NameMap::new());
        for (index, name) in [
            "_ZN5guest8sanitize5clean17h0123456789abcdefE",
            "_ZN4core3fmt5write17h0123456789abcdefE",
            "_ZN5guest8bindings7exports4step17h0123456789abcdefE",
            "cabi_post_step",
            "memory#copy",
        ]
        .iter()
        .enumerate()
        {
            functions.function(0);
            let mut body = Function::new([]);
            body.instructions().end();
            code.function(&body);
            map.append(u32::try_from(index).unwrap_or_default(), name);
        }
        names.module("whole");
        names.functions(&map);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&code).section(&names);
        module.finish()
    }

    #[test]
    fn names_of_functions_become_those_of_the_source_and_all_else_stays() -> anyhow::Result<()> {
        let before = module();
        let after = demangle(&before)?;
        Validator::new().validate_all(&after)?;
        let mut names = Vec::new();
        for payload in Parser::new(0).parse_all(&after) {
            let Payload::CustomSection(section) = payload? else { continue };
            let KnownCustom::Name(subsections) = section.as_known() else { continue };
            for subsection in subsections {
                let Name::Function(map) = subsection? else { anyhow::bail!("names of something else") };
                names.extend(map.into_iter().map_while(Result::ok).map(|naming| naming.name.to_owned()));
            }
        }
        assert_eq!(names, ["guest::sanitize::clean", "memory#copy"]);
        assert_eq!(others(&before), others(&after));
        Ok(())
    }

    /// Every section that holds no names.
    fn others(module: &[u8]) -> Vec<(u8, &[u8])> {
        let sections = Parser::new(0).parse_all(module).map_while(Result::ok);
        let sections = sections.filter_map(|payload| payload.as_section()).filter(|(id, _)| *id != 0);
        let bytes = |range: std::ops::Range<u64>| {
            module.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
        };
        sections.filter_map(|(id, range)| Some((id, bytes(range)?))).collect()
    }
}
