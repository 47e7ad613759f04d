//! Who may import whom, which library may be used where, and how long a file may be.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

mod docs;
mod facts;
mod imports;
mod names;
mod source;

use std::collections::BTreeSet;

use imports::{Tree, among_children, circles};
use source::{code, is_name, occurrences, root, rust_files};

/// Lines of a file at most, tests included: in `src`, and in `tests`.
const LONGEST_FILES: [(&str, usize); 2] = [("src", 400), ("tests", 500)];

/// Files of one folder of `src` at most.
const MOST_FILES: usize = 12;

/// A module, and the modules it may use. `app`, `main` and `lib` may use every one.
const IMPORTS: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("error", &["domain"]),
    ("config", &[]),
    // The settings are part of the command line.
    ("cli", &["config"]),
    // The settings of the logs.
    ("telemetry", &["config"]),
    ("private_file", &[]),
    ("store", &["private_file", "domain", "error", "config", "telemetry"]),
    ("work", &["domain", "error", "telemetry"]),
    ("lane", &["work", "store", "domain", "error", "config", "telemetry"]),
    // The secret is a type of the settings.
    ("auth", &["private_file", "domain", "error", "config"]),
    ("http", &["work", "lane", "auth", "domain", "error", "config", "telemetry"]),
    ("app", &["http", "lane", "store", "auth", "domain", "error", "config", "telemetry"]),
    ("commands", &["app", "http", "store", "auth", "config", "telemetry"]),
];

/// A library, and where its use is allowed: the beginnings of paths under `src`.
const LIBRARIES: [(&str, &[&str]); 21] = [
    ("actix", &["lane/"]),
    ("actix_cors", &["http/"]),
    ("actix_web", &["http/", "app.rs", "main.rs"]),
    ("aide", &["http/"]),
    ("dashmap", &["lane/", "work/"]),
    ("deadpool_postgres", &["store/postgres"]),
    ("icu_casemap", &["domain/"]),
    ("icu_collator", &["domain/"]),
    ("icu_normalizer", &["domain/"]),
    ("icu_properties", &["domain/"]),
    ("indicatif", &["commands/"]),
    ("jsonwebtoken", &["auth/"]),
    ("metrics_exporter_prometheus", &["telemetry/"]),
    ("mimalloc", &["main.rs"]),
    ("opentelemetry", &["telemetry/"]),
    ("opentelemetry_otlp", &["telemetry/"]),
    ("opentelemetry_sdk", &["telemetry/"]),
    ("rusqlite", &["store/sqlite"]),
    ("tokio_postgres", &["store/postgres"]),
    ("utoipa", &["http/"]),
    ("utoipa_swagger_ui", &["http/"]),
];

/// The modules of our own that a file names: after `crate::`, one or a group in braces.
fn imported(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for index in occurrences(code, "crate::") {
        let rest = &code[index + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.extend(rest.split(|character| !is_name(character)).next().map(str::to_owned));
            continue;
        };
        let (mut depth, mut name) = (0, String::new());
        for character in group.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => modules.push(std::mem::take(&mut name)),
                _ if depth == 0 => name.push(character),
                _ => {}
            }
        }
        modules.push(name);
    }
    let first =
        |module: String| module.trim().split(|character| !is_name(character)).next().unwrap_or("").to_owned();
    modules.into_iter().map(first).filter(|module| !module.is_empty()).collect()
}

/// Whether a file uses a library: its name before `::`, or after `use` (`use a;`, `use a as b;`).
fn uses(code: &str, library: &str) -> bool {
    occurrences(code, library).any(|index| {
        let rest = &code[index + library.len()..];
        let imported = code[..index].trim_end().ends_with("use") && rest.starts_with([';', ' ']);
        rest.starts_with("::") || imported
    })
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn modules_import_only_what_the_design_allows() {
    for (file, text) in rust_files(&root().join("src")) {
        let module = module_of(&file);
        if module == "main" || module == "lib" {
            continue;
        }
        let allowed = IMPORTS.iter().find(|(name, _)| *name == module);
        let (_, allowed) =
            allowed.unwrap_or_else(|| panic!("{file}: tests/tidy.rs does not know `{module}`"));
        for import in imported(&code(&text)) {
            let known = IMPORTS.iter().any(|(name, _)| *name == import);
            let fine = !known || import == module || allowed.contains(&import.as_str());
            assert!(fine, "src/{file} imports `{import}`; `{module}` may import {allowed:?} only");
        }
    }
}

#[test]
fn libraries_are_used_only_where_they_belong() {
    for (file, text) in rust_files(&root().join("src")) {
        let code = code(&text);
        for (library, places) in LIBRARIES {
            let allowed = places.iter().any(|place| file.starts_with(place));
            assert!(
                allowed || !uses(&code, library),
                "src/{file} uses `{library}`, which belongs to {places:?}"
            );
        }
    }
}

#[test]
fn files_are_short_and_say_why_they_exist() {
    for (folder, longest) in LONGEST_FILES {
        for (file, text) in rust_files(&root().join(folder)) {
            let lines = text.lines().count();
            assert!(lines <= longest, "{folder}/{file} has {lines} lines; {longest} are allowed");
            assert!(text.starts_with("//! "), "{folder}/{file} does not begin with `//!`");
        }
    }
}

#[test]
fn no_folder_holds_more_files_than_one_can_keep_in_mind() {
    let files = rust_files(&root().join("src"));
    let folders: Vec<_> =
        files.keys().map(|file| file.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
    for folder in folders.iter().collect::<BTreeSet<_>>() {
        let count = folders.iter().filter(|other| *other == folder).count();
        assert!(count <= MOST_FILES, "src/{folder} holds {count} files; {MOST_FILES} are allowed");
    }
}

#[test]
fn imports_make_no_circle_between_files_nor_between_folders() {
    let tree = Tree::read(&root().join("src"));
    let imports = tree.imports();
    let mut found = circles(&imports);
    let folders = imports.keys().flat_map(|file| file.match_indices('/').map(|(slash, _)| &file[..=slash]));
    for folder in folders.chain([""]).collect::<BTreeSet<_>>() {
        found.extend(circles(&among_children(folder, &imports)));
    }
    let lines: Vec<_> = found.iter().map(|nodes| nodes.join(", ")).collect();
    assert!(
        found.is_empty(),
        "these files or folders of src import each other in a circle:\n{}",
        lines.join("\n")
    );
}

#[test]
fn a_circle_is_found_in_every_form() {
    let tree = |files: &[(&str, &str)]| {
        Tree::of(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())))
    };
    let in_circles = |files: &[(&str, &str)]| circles(&tree(files).imports()).concat().len();
    assert_eq!(in_circles(&[("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g() }")]), 2);
    // By a re-export, in a group, under another name.
    let files = [
        ("x/mod.rs", "pub use a::{A as C, D};"),
        ("x/a.rs", "use super::b::{self, E};"),
        ("x/b.rs", "use super::C;"),
    ];
    assert_eq!(in_circles(&files), 2);
    // By a re-export of all that a file defines.
    let files = [
        ("x/mod.rs", "pub use a::*;"),
        ("x/a.rs", "use super::b::B; pub struct A;"),
        ("x/b.rs", "use super::A;"),
    ];
    assert_eq!(in_circles(&files), 2);
    // A parent that uses its child, which uses what the parent defines.
    assert_eq!(in_circles(&[("x/mod.rs", "fn f() { a::g() }"), ("x/a.rs", "use super::f;")]), 2);
    // A parent that only gives out what its children define is in no circle.
    let files = [("x/mod.rs", "pub use a::A; pub use b::B;"), ("x/a.rs", ""), ("x/b.rs", "use super::A;")];
    assert_eq!(in_circles(&files), 0);
    // Files in no circle, whose folders are.
    let files = [
        ("x/a.rs", "use crate::y::c::C;"),
        ("x/b.rs", ""),
        ("y/c.rs", ""),
        ("y/d.rs", "use crate::x::b::B;"),
    ];
    let tree = tree(&files);
    assert_eq!(circles(&tree.imports()), Vec::<Vec<&str>>::new());
    assert_eq!(circles(&among_children("", &tree.imports())), [["x", "y"]]);
}

#[test]
fn imports_and_uses_are_found_in_every_form() {
    let found = imported(
        "use crate::store::Store;\nlet x = crate::auth::y();\nuse crate::{domain::{A, B}, lane, error::Error};\nuse tasklane_crate::http;",
    );
    assert_eq!(found, ["store", "auth", "domain", "lane", "error"]);
    assert_eq!(imported(&code("// crate::store\n/// [`x`](crate::lane)\n")), Vec::<String>::new());
    assert!(
        uses("use actix::Addr;", "actix")
            && uses("let a = actix::spawn;", "actix")
            && uses("use aide;", "aide")
            && uses("use aide as b;", "aide")
    );
    assert!(!uses("use actix_web::App;", "actix") && !uses("let xactix = 1; xactix::f()", "actix"));
}
