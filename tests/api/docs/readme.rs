//! The README's commands run unchanged and answer as printed there.

use std::process::Command;

use crate::support::{Server, Store, on_both_stores, tokens};

on_both_stores!(the_readmes_tour_works_as_printed);

/// The address the README calls.
const PRINTED: &str = "http://127.0.0.1:8000";

/// The text of the README's blocks of one kind.
fn blocks(fence: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let fence = format!("\n{fence}\n");
    let starts = readme.match_indices(&fence).map(|(place, _)| place + fence.len());
    starts.map(|start| readme[start..].split("\n```").next().unwrap().to_owned()).collect()
}

/// An answer without the parts that differ from run to run.
fn steady(text: &str) -> Vec<String> {
    let times = |word: &str| word.starts_with("202") && word.ends_with('Z');
    text.lines()
        .filter(|line| !line.trim().is_empty())
        // The lineage is another one in each store.
        .map(|line| if line.starts_with("etag: ") { line.split('-').next().unwrap_or(line) } else { line })
        .map(|line| line.split('"').filter(|word| !times(word)).collect::<Vec<_>>().join("\""))
        .collect()
}

async fn the_readmes_tour_works_as_printed(store: Store) {
    needs!(Curl);
    let server = Server::start(&store);
    let tour = blocks("```sh").concat();
    assert_eq!(tour.matches("\ncurl ").count(), 5, "{tour}");
    let script = tour.replace(PRINTED, server.origin()).replace("\ncurl", "\necho; curl");
    let script = format!("set -eu\nTOKEN={}\n{script}", tokens::of("demo"));
    let output =
        tokio::task::spawn_blocking(move || Command::new("bash").args(["-c", &script]).output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    assert!(output.status.success(), "{said}");
    let said = steady(&said);
    let printed = blocks("```").into_iter().find(|block| block.contains("Water the plants")).unwrap();
    for line in steady(&printed).into_iter().filter(|line| line != "…") {
        assert!(said.contains(&line), "the README prints\n{line}\nbut the calls answer\n{}", said.join("\n"));
    }
}
