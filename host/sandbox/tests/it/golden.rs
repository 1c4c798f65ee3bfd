//! What the components of both worlds are, against files that change only on purpose. `UPDATE_GOLDEN=1`
//! writes them anew.

use std::path::Path;

use shelltrack_sandbox::COMPONENT;
use shelltrack_sandbox::testing::MCP_TOOLS;
use wit_component::WitPrinter;

/// The component of each world.
const COMPONENTS: [(&str, &[u8]); 2] = [("session-tracker", COMPONENT), ("mcp-tools", MCP_TOOLS)];

/// The component of the binary: code, Unicode tables, and 15 KB of names for the frames of traps.
const COMPONENT_BYTES_MAX: usize = 400_000;

#[track_caller]
fn check_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs; the component has now:\n{actual}", path.display());
}

#[test]
fn the_components_import_the_clock_and_the_entropy_and_nothing_else() {
    for (name, component) in COMPONENTS {
        let functions = shelltrack_componentize::imported_functions(component).unwrap();
        check_golden(&format!("{name}.imports.txt"), &(functions.join("\n") + "\n"));
    }
}

#[test]
fn the_contract_of_the_components_is_the_published_one() {
    for (name, component) in COMPONENTS {
        let decoded = wit_component::decode(component).unwrap();
        let (resolve, main) = (decoded.resolve(), decoded.package());
        let mut printer = WitPrinter::default();
        let nested: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != main).collect();
        printer.print(resolve, main, &nested).unwrap();
        check_golden(&format!("{name}.wit"), &printer.output.to_string());
    }
}

#[test]
fn the_components_are_small() {
    for (name, component) in COMPONENTS {
        assert!(component.len() <= COMPONENT_BYTES_MAX, "{name}: {} bytes", component.len());
    }
}

#[test]
fn the_components_tell_nothing_of_the_machine_that_built_them() {
    let home = std::env::home_dir().unwrap();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let ours = [home.join(".cargo"), home.join(".rustup"), workspace.to_owned()];
    let ours = ours.iter().map(|path| path.to_str().unwrap());
    for path in ours.chain(["/root/", "/home/", "/Users/", ".cargo/registry"]) {
        let path = path.as_bytes();
        for (_, component) in COMPONENTS {
            let found = component.windows(path.len()).position(|window| window == path);
            let context =
                found.map(|at| String::from_utf8_lossy(&component[at..component.len().min(at + 120)]));
            assert_eq!(context, None);
        }
    }
}

#[test]
fn traps_can_tell_where_for_the_component_has_names() {
    let name = b"build_start";
    assert!(COMPONENT.windows(name.len()).any(|window| window == name));
}
