//! The keeper: a thread that does what no commit should wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Shared, WriterState};
use crate::error::StoreError;

/// How old the watermark may be: what a loss can hide in, when the log ends cleanly before it.
const WATERMARK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the growth of the log is looked at. At 100 MB/s the tables are flushed at most 20 MB
/// late.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The running keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn start(shared: Arc<Shared>) -> Result<Keeper, StoreError> {
        let (stop, stopped) = sync_channel(1);
        let path = shared.tables_folder.clone();
        let run = move || {
            let looks_per_watermark = WATERMARK_INTERVAL.div_duration_f32(LOOK_INTERVAL) as u32;
            let (mut look, mut warned) = (0, false);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_INTERVAL) {
                look = (look + 1) % looks_per_watermark;
                match tend(&shared, look == 0) {
                    Ok(()) => warned = false,
                    // Once, not five times a second: the committer tells that commits fail.
                    Err(error) if !warned => {
                        warned = true;
                        tracing::warn!(%error, "the store cannot be tended; trying again");
                    }
                    Err(_) => {}
                }
            }
        };
        let thread = thread::Builder::new()
            .name("store-keeper".into())
            .spawn(run)
            .map_err(StoreError::io("cannot start a thread for", path))?;
        Ok(Keeper { stop, thread })
    }

    /// Returns when it has ended.
    pub(super) fn stop(self) {
        let _ = self.stop.try_send(());
        let _ = self.thread.join();
    }
}

fn tend(shared: &Shared, watermark_due: bool) -> Result<(), StoreError> {
    let due = shared.unflushed_bytes.load(Ordering::Relaxed) >= shared.settings.flush_bytes;
    if due && shared.writer().state == WriterState::Ready {
        shared.flush()?;
    }
    if watermark_due {
        shared.write_watermark(|_| {})?;
    }
    shared.trim(shared.newest_ms.load(Ordering::Relaxed))
}
