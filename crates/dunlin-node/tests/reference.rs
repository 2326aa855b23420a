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

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/grafana/dunlin.json"
    );
    let dashboard = std::fs::read_to_string(file).expect("the dashboard is there");
    let mut seen = 0;
    for word in dashboard.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if word.starts_with("dunlin_") || word.starts_with("process_") {
            seen += 1;
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(
                dunlin_node::METRICS
                    .iter()
                    .any(|(known, _, _)| *known == name),
                "packaging/grafana/dunlin.json asks for {word}, which is no metric"
            );
        }
    }
    assert!(seen > 20, "only {seen} metrics on the dashboard");
}
