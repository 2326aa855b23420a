//! The HTTP server: connections of a listener, each with its limits.
//!
//! axum's own loop waits for ever on a peer that sends half a header; here headers have a deadline, the number of
//! connections has a limit, and stopping lets requests end but does not wait for event streams.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections at once. More wait in the kernel's queue until one ends.
const CONNECTIONS_MAX: usize = 4096;

/// How long a peer may take for the head of a request, keep-alive between requests included.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);

/// How long requests may go on when the server stops; event streams end with it.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// A pause after the listener refused (out of file descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready, then lets what is under way end.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let (cut, uncut) = watch::channel(());
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE);
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = places.clone().acquire_owned();
        let (stream, place) = tokio::select! {
            () = &mut stop => break,
            (accepted, place) = async { let place = place.await; (listener.accept().await, place) } => {
                match accepted {
                    Ok((stream, _)) => (stream, place),
                    Err(error) => {
                        tracing::warn!(%error, "an HTTP connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                }
            }
        };
        // Answers are small and awaited: better in one packet now than in a fuller one later.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        let mut uncut = uncut.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error, "an HTTP connection ended early");
                },
                // The sender is gone: whatever still runs, event streams mostly, has had its time.
                _ = uncut.changed() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_DEADLINE, graceful.shutdown()).await;
    drop(cut);
}
