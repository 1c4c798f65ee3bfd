//! Components that do harm, for tests of everything above this crate (feature `testing`).
//!
//! Each is the built-in component with its core module replaced by a hostile one of the same imports
//! and exports, so it passes every check that a real replacement would pass. Nothing here is part of
//! the program.
#![allow(clippy::expect_used, reason = "test support: the inputs are our own")]

use std::fmt::Write as _;
use std::ops::Range;

use wasmparser::{Encoding, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType, Validator};

use crate::COMPONENT;

/// The component of the other world, `mcp-tools`.
pub const MCP_TOOLS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tools.wasm"));

/// What a hostile component does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostile {
    /// Each function traps.
    Trap,
    /// Each function runs forever.
    Loop,
    /// Runs forever as soon as it is instantiated.
    StartLoop,
    /// Each function asks for 1 GiB.
    Memory,
    /// Declares 1 GiB from the start.
    InitialMemory,
    /// Each function calls itself until the stack is used up.
    Recursion,
    /// Returns texts of 768 KiB.
    HugeText,
    /// Returns texts and lists longer than its memory.
    BeyondMemory,
    /// Returns texts that are not UTF-8.
    NotUtf8,
    /// Returns variants that do not exist.
    NoSuchVariant,
    /// Imports the environment too.
    OtherImport,
    /// The built-in component with one more import, an instance with nothing in it.
    EmptyImport,
    /// Exports another version of the contract.
    OtherVersion,
    /// The built-in component, named as of another patch version: the rules it was built by are not ours.
    PatchVersion,
    /// Exports nothing.
    Empty,
    /// A core module.
    CoreModule,
    /// No WebAssembly.
    Garbage,
    /// The built-in component without its second half.
    Truncated,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Trap,
        Self::Loop,
        Self::StartLoop,
        Self::Memory,
        Self::InitialMemory,
        Self::Recursion,
        Self::HugeText,
        Self::BeyondMemory,
        Self::NotUtf8,
        Self::NoSuchVariant,
        Self::OtherImport,
        Self::EmptyImport,
        Self::OtherVersion,
        Self::PatchVersion,
        Self::Empty,
        Self::CoreModule,
        Self::Garbage,
        Self::Truncated,
    ];

    /// The bytes of the component.
    pub fn component(self) -> Vec<u8> {
        match self {
            Self::OtherImport => wat(OTHER_IMPORT),
            Self::EmptyImport => with_import("wasi:filesystem/preopens@0.2.0"),
            Self::OtherVersion => wat(OTHER_VERSION),
            Self::PatchVersion => patch_version(),
            Self::Empty => wat("(component)"),
            Self::CoreModule => wat("(module)"),
            Self::Garbage => b"#!/bin/sh\nexec true\n".to_vec(),
            Self::Truncated => COMPONENT.iter().take(COMPONENT.len() / 2).copied().collect(),
            _ => replaced(&wat(&self.module())),
        }
    }

    /// What each function does before it returns the address 0.
    fn body(self) -> &'static str {
        match self {
            Self::Trap => "unreachable",
            Self::Loop => "(loop $again (br $again))",
            Self::Memory => "(drop (memory.grow (i32.const 16384)))",
            Self::Recursion => "(call $recurse)",
            _ => "",
        }
    }

    /// Filled with this word, the memory is a result of any type, for every pointer and every length
    /// in it has this value and every tag its lowest byte.
    fn word(self) -> u32 {
        match self {
            Self::HugeText => 0x000c_0000,
            Self::BeyondMemory => 0x7f00_0000,
            Self::NotUtf8 => 0x0001_0000,
            Self::NoSuchVariant => u32::MAX,
            _ => 0,
        }
    }

    /// A core module with the exports of the built-in one.
    fn module(self) -> String {
        let pages = if self == Self::InitialMemory { 16_384 } else { 32 };
        let start = if self == Self::StartLoop {
            "(func $start (loop $again (br $again))) (start $start)"
        } else {
            ""
        };
        let word: String = self.word().to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
        let mut module = format!(
            "(module (memory (export \"memory\") {pages}) {start}
               (func $recurse (call $recurse) (call $recurse))
               (data (i32.const 0) \"{}\") (data (i32.const 0x10000) \"\\ff\\ff\\ff\\ff\")",
            word.repeat(128),
        );
        for (name, ty) in exports() {
            let params: String = ty.params().iter().map(|ty| format!("(param {ty})")).collect();
            let results: String = ty.results().iter().map(|ty| format!("(result {ty})")).collect();
            let body = if name.starts_with("cabi_") { "" } else { self.body() };
            // Arguments are copied to a place where no result lies.
            let value = match ty.results() {
                [ValType::I32] if name.starts_with("cabi_realloc") => "(i32.const 0x40000)",
                [ValType::I32] => "(i32.const 0)",
                [ValType::I64] => "(i64.const 0)",
                _ => "",
            };
            // The name that a trap's frame tells is the component's own choice too.
            let lie = r#"(@name "\1b]0;owned\07")"#;
            write!(module, "(func {lie} (export \"{name}\") {params} {results} {body} {value})")
                .expect("a string");
        }
        module + ")"
    }
}

const OTHER_IMPORT: &str = r#"(component
  (import "wasi:cli/environment@0.2.0" (instance
    (export "get-environment" (func (result (list (tuple string string))))))))"#;
const OTHER_VERSION: &str = r#"(component
  (instance $empty)
  (export "shelltrack:session/types@0.9.0" (instance $empty))
  (export "shelltrack:session/events@0.9.0" (instance $empty)))"#;

fn patch_version() -> Vec<u8> {
    let (ours, other) = (b"@0.1.0", b"@0.1.1");
    let mut bytes = COMPONENT.to_vec();
    while let Some(at) = bytes.windows(ours.len()).position(|window| window == ours) {
        bytes.splice(at..at + ours.len(), *other);
    }
    bytes
}

/// The built-in component with one more import: an instance of this name with nothing in it, which any linker
/// supplies.
pub fn with_import(name: &str) -> Vec<u8> {
    // Sections and kinds of the binary format of components.
    let [types_section, imports_section, instance_type, plain_name, instance] = [7, 10, 0x42, 0, 5];
    let types = Validator::new().validate_all(COMPONENT).expect("our own component");
    let count = types.as_ref().component_type_count();
    let size = |len: usize| leb128(u32::try_from(len).expect("a name is short"));
    let import =
        [&[1, plain_name], &*size(name.len()), name.as_bytes(), &[instance], &leb128(count)].concat();
    [COMPONENT, &[types_section, 3, 1, instance_type, 0, imports_section], &size(import.len()), &import]
        .concat()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("our own text")
}

/// The built-in component with another core module in the place of the guest.
fn replaced(module: &[u8]) -> Vec<u8> {
    let Range { start, end } = guest();
    // Before a core module stand the section's id and its length, the latter in LEB128.
    let old_len = u32::try_from(end - start).expect("a module is small");
    let header = start - 1 - leb128(old_len).len();
    let mut component = COMPONENT.get(..=header).expect("in the component").to_vec();
    component.extend(leb128(u32::try_from(module.len()).expect("a module is small")));
    component.extend(module);
    component.extend(COMPONENT.get(end..).expect("in the component"));
    component
}

/// Where the guest lies in the component: the largest of its core modules.
fn guest() -> Range<usize> {
    let modules = Parser::new(0).parse_all(COMPONENT).filter_map(|payload| match payload {
        Ok(Payload::ModuleSection { unchecked_range: Range { start, end }, .. }) => {
            Some(start as usize..end as usize)
        }
        _ => None,
    });
    modules.max_by_key(ExactSizeIterator::len).expect("a component has a core module")
}

/// Names and types of the functions the guest exports.
fn exports() -> Vec<(String, FuncType)> {
    let (mut types, mut functions, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(COMPONENT.get(guest()).expect("in the component")) {
        match payload.expect("our own component") {
            Payload::Version { encoding, .. } => assert_eq!(encoding, Encoding::Module),
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map(|ty| ty.expect("our own component")));
            }
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map(|import| import.expect("our own component").ty);
                functions.extend(imports.filter_map(|ty| match ty {
                    TypeRef::Func(index) => Some(index),
                    _ => None,
                }));
            }
            Payload::FunctionSection(section) => {
                functions.extend(section.into_iter().map(|index| index.expect("our own component")));
            }
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().map(|export| export.expect("our own component")));
            }
            _ => {}
        }
    }
    let function = |index: u32| -> Option<FuncType> {
        types.get(*functions.get(usize::try_from(index).ok()?)? as usize).cloned()
    };
    let functions = exports.iter().filter(|export| export.kind == ExternalKind::Func);
    functions.filter_map(|export| Some((export.name.to_owned(), function(export.index)?))).collect()
}

fn leb128(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
