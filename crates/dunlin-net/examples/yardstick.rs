//! Prints this machine's limit in bare UDP: `cargo run --release -p dunlin-net --example yardstick`.

use std::time::Duration;

fn main() -> std::io::Result<()> {
    for _ in 0..3 {
        let yardstick = dunlin_net::yardstick::run(Duration::from_secs(2))?;
        println!(
            "{:.0} pairs/s, {:.0} pairs per CPU-second of the answering thread, which ran {:.0} %",
            yardstick.pairs_per_s,
            yardstick.pairs_per_cpu_s,
            yardstick.server_cpu * 100.0
        );
    }
    Ok(())
}
