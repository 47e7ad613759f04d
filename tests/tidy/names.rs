//! No type name stands twice in `src` with two meanings.

use std::collections::BTreeMap;

use crate::source::{code, is_name, root, rust_files, without_tests};

/// Names that may stand more than once, each with its reason.
const ALLOWED: [(&str, &str); 0] = [];

/// The types a file defines at its top level: one that stands inside a function or an `impl` is indented.
fn types(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let line = line.strip_prefix("pub").map_or(line, |rest| match rest.split_once(") ") {
            Some((visibility, rest)) if visibility.starts_with('(') => rest,
            _ => rest.trim_start(),
        });
        let (kind, rest) = line.split_once(' ')?;
        let name = rest.split(|character| !is_name(character)).next()?;
        (["struct", "enum", "trait", "type", "union"].contains(&kind) && !name.is_empty()).then_some(name)
    })
}

#[test]
fn no_type_name_has_two_meanings() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in rust_files(&root().join("src")) {
        for name in types(without_tests(&code(&text))) {
            defined.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(defined.len() > 100, "the types of src are not found");
    defined.retain(|name, files| files.len() > 1 && !ALLOWED.iter().any(|(allowed, _)| allowed == name));
    assert!(defined.is_empty(), "give each meaning a name of its own: {defined:#?}");
}

#[test]
fn types_are_found_in_every_form() {
    let found: Vec<_> = types(
        "struct A;\npub enum B<T> {\npub(crate) type C = u8;\n    struct Inner;\nfn x() {}\npub trait D: E {",
    )
    .collect();
    assert_eq!(found, ["A", "B", "C", "D"]);
}
