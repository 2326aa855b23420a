//! What the fleet itself can do: against a responder that says yes to everything, in the same process.
//!
//! `cargo run --release -p dunlin-sim --example fleet_limit -- CLIENTS RATE UPDATES_PER_S SECONDS`
//!
//! A figure of a server means something only where it is well below what this prints.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dunlin_coap::wire::datagram;
use dunlin_coap::{Code, Message, MessageType, OptionList, OptionNumber};
use dunlin_net::bearer::batch::{ReceiveBatch, SendBatch};
use dunlin_net::bearer::udp::{UdpBearer, UdpOptions};
use dunlin_net::clock;
use dunlin_sim::fleet::{FleetSettings, Scenario, run};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: f64| -> anyhow::Result<f64> {
        Ok(arguments
            .next()
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or(default))
    };
    let (clients, rate) = (number(10_000.0)?, number(10_000.0)?);
    let (updates_per_s, seconds) = (number(50_000.0)?, number(5.0)?);

    let stop = Arc::new(AtomicBool::new(false));
    let (told, address) = std::sync::mpsc::channel();
    let stopped = Arc::clone(&stop);
    let responder = std::thread::spawn(move || respond(&told, &stopped));
    let address: SocketAddr = address.recv()?;

    let mut settings = FleetSettings::new(&format!("coap://{address}"), clients as u32)?;
    settings.rate = rate;
    settings.duration = Some(Duration::from_secs_f64(clients / rate + seconds));
    settings.scenario =
        Scenario::parse(&format!("sensors = 8\n[update]\nper_s = {updates_per_s:?}"))?;
    let report = run(settings)?;
    stop.store(true, Ordering::Relaxed);
    let (answered, overflowed, cpu) = responder.join().expect("the responder does not panic")?;
    println!("{report}");
    println!(
        "  responder: {answered} answers, {:.0} per CPU-second, {overflowed} requests overflowed",
        answered as f64 / cpu.as_secs_f64()
    );
    println!(
        "  {:.1} bytes per Client",
        report.generator.client_bytes as f64 / clients
    );
    Ok(())
}

/// Says 2.01, 2.04 or 2.02 to whoever asks.
fn respond(
    told: &std::sync::mpsc::Sender<SocketAddr>,
    stop: &AtomicBool,
) -> anyhow::Result<(u64, u64, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut bearer = UdpBearer::bind(any, &UdpOptions::default())?;
        told.send(bearer.local_addr()?)?;
        let (mut inwards, mut outwards) = (ReceiveBatch::default(), SendBatch::default());
        let (mut answered, mut bytes) = (0, Vec::new());
        let mut location = OptionList::new();
        location.push(OptionNumber::LOCATION_PATH, b"rd");
        location.push(OptionNumber::LOCATION_PATH, b"0123456789abcdefghijklmnop");
        let none = OptionList::new();
        while !stop.load(Ordering::Relaxed) {
            let wait =
                tokio::time::timeout(Duration::from_millis(100), bearer.receive(&mut inwards));
            let Ok(received) = wait.await else { continue };
            received?;
            for one in inwards.iter() {
                let Ok(request) = datagram::decode(one.bytes) else {
                    continue;
                };
                let (code, options) = match (request.code, request.payload) {
                    (Code::POST, []) => (Code::CHANGED, &none),
                    (Code::POST, _) => (Code::CREATED, &location),
                    (Code::DELETE, _) => (Code::DELETED, &none),
                    _ => continue,
                };
                bytes.clear();
                let answer = Message {
                    message_type: MessageType::Acknowledgement,
                    code,
                    options: options.view(),
                    payload: &[],
                    ..request
                };
                datagram::encode(&answer, &mut bytes);
                outwards.push(one.from, one.local, &bytes)?;
                answered += 1;
            }
            bearer.send(&mut outwards).await?;
        }
        Ok((
            answered,
            bearer.statistics().overflowed,
            clock::thread_cpu(),
        ))
    })
}
