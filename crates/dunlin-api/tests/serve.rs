//! The server on a real port: many requests on one connection, stopping, and what a slow peer may not do.

mod common;

use std::time::Duration;

use common::fake;
use dunlin_api::{Settings, router, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 65536];
    let count = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[tokio::test]
async fn connections_are_kept_and_end_when_the_server_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let fake = fake();
    let server = tokio::spawn(serve(listener, router(fake, Settings::default()), async {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            .await
            .unwrap();
        let answer = read_some(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("ok\n"),
            "{answer}"
        );
        // The UI sets its clock by it.
        assert!(answer.to_ascii_lowercase().contains("\r\ndate: "));
    }
    // An event stream has no end of its own, and must not keep the server from stopping.
    let mut events = TcpStream::connect(address).await.unwrap();
    events
        .write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await
        .unwrap();
    let mut heard = String::new();
    while !heard.contains(": dunlin") {
        heard.push_str(&read_some(&mut events).await);
    }
    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, server)
        .await
        .expect("the server stops")
        .unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    // Both connections were closed, the stream by force.
    assert_eq!(read_some(&mut stream).await, "");
    let mut rest = Vec::new();
    let closed = events.read_to_end(&mut rest);
    let _ = tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("the stream is cut");
}

#[tokio::test]
async fn what_is_no_http_is_answered_and_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(
        listener,
        router(fake(), Settings::default()),
        std::future::pending(),
    ));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("it is closed")
            .unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{answer:?}"
        );
    }
}
