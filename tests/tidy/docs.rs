//! The tests that the documentation names exist.

use std::fs;

use crate::source::{is_name, occurrences, root, rust_files};

/// The tests named in a page: whole names, and beginnings that end in `…`. A name of fewer than five words may be
/// something else, such as a column.
fn tests_named_in(page: &str) -> impl Iterator<Item = (&str, bool)> {
    page.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let name = quoted.rsplit([' ', ':']).next()?;
        let (name, whole) = name.strip_suffix('…').map_or((name, true), |beginning| (beginning, false));
        let is_test = name.contains('_') && name.chars().all(|c| is_name(c) && !c.is_uppercase());
        (is_test && (!whole || name.matches('_').count() >= 4)).then_some((name, whole))
    })
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let code: Vec<_> =
        ["src", "tests"].iter().flat_map(|folder| rust_files(&root().join(folder)).into_values()).collect();
    let exists = |name: &str, whole: bool| {
        let ends = |after: &str| !whole || !after.starts_with(is_name);
        code.iter().any(|text| occurrences(text, name).any(|at| ends(&text[at + name.len()..])))
    };
    let mut pages =
        vec![root().join("ARCHITECTURE.md"), root().join("CONTRIBUTING.md"), root().join("SECURITY.md")];
    pages.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    let mut seen = 0;
    for page in pages {
        for (name, whole) in tests_named_in(&fs::read_to_string(&page).unwrap()) {
            seen += 1;
            assert!(exists(name, whole), "{}: there is no test `{name}`", page.display());
        }
    }
    assert!(seen > 50, "the names of tests are not found");
}

#[test]
fn names_of_tests_are_found_in_every_form() {
    let page = "`lane: a_b_c_d_e`, `api: x::a_b_c_d_f`; `begins_so_…`, `a_column_name`, `tests/lane/keys.rs` and text";
    let found: Vec<_> = tests_named_in(page).collect();
    assert_eq!(found, [("a_b_c_d_e", true), ("a_b_c_d_f", true), ("begins_so_", false)]);
}
