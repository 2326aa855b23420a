//! The reference pages say everything that can be set and measured, and nothing else.

fn page(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/");
    std::fs::read_to_string(format!("{folder}{name}")).expect("the page is there")
}

#[test]
fn every_metric_stands_in_its_page_with_its_kind() {
    let page = page("metrics.md");
    for (name, kind, help) in dunlin_node::METRICS {
        let row = format!("| `{name}` | {kind} | {help} |");
        assert!(
            page.contains(&row),
            "docs/reference/metrics.md lacks: {row}"
        );
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        rows,
        dunlin_node::METRICS.len(),
        "a row of the page is no metric"
    );
}

#[test]
fn the_page_of_settings_holds_the_default_file_as_it_is() {
    assert!(
        page("config.md").contains(dunlin_node::config::DEFAULT),
        "docs/reference/config.md shows another file than crates/dunlin-node/dunlin.toml"
    );
}
