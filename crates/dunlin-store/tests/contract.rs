//! The contract, run against both backends.

use std::sync::Arc;

use dunlin_store::contract::{self, Backend};
use dunlin_store::{FjallStore, MemoryStore, Retention, Store, StoreSettings};

struct Memory(Option<MemoryStore>);

impl Backend for Memory {
    fn create(&mut self, retention: Retention) -> Arc<dyn Store> {
        let store = MemoryStore::new(retention);
        self.0 = Some(store.reopen());
        Arc::new(store)
    }

    fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().expect("closes");
        Arc::new(self.0.as_ref().expect("created before").reopen())
    }
}

struct Disk {
    folder: tempfile::TempDir,
    settings: StoreSettings,
    created: u32,
}

impl Disk {
    fn open(&self) -> Arc<dyn Store> {
        let root = self.folder.path().join(self.created.to_string());
        Arc::new(FjallStore::open(root, self.settings.clone()).expect("opens"))
    }
}

impl Backend for Disk {
    fn create(&mut self, retention: Retention) -> Arc<dyn Store> {
        self.created += 1;
        self.settings.retention = retention;
        self.open()
    }

    fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().expect("closes");
        drop(store);
        self.open()
    }
}

#[test]
fn memory_keeps_the_contract() {
    contract::run(&mut Memory(None));
}

#[test]
fn fjall_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = StoreSettings {
        segment_bytes: 10_000,
        flush_bytes: 30_000,
        ..StoreSettings::default()
    };
    contract::run(&mut Disk {
        folder,
        settings,
        created: 0,
    });
}
