//! The API and the UI over the fake backend, for looking at pages without a Client: prints its address and serves for the
//! number of seconds given (60).

use std::sync::Arc;
use std::time::Duration;

use dunlin_api::fake::Fake;
use dunlin_api::{Settings, router, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let stop = tokio::time::sleep(Duration::from_secs(seconds));
    serve(
        listener,
        router(Arc::new(Fake::new()), Settings::default()),
        stop,
    )
    .await;
    Ok(())
}
