//! Objects 4, 6 and 7 (TS 1.0 §E.5, §E.7, §E.8): our Server asks our Client.

use dunlin_client::lwm2m::{ObjectId, Value};
use dunlin_client::object::{ConnectivityStatistics, Traffic};
use dunlin_client::{Config, Factory, Fix, Sample, WallTime};
use dunlin_lwm2m::operation::Binding;

use crate::common::{Device, Serve, registered};

/// A device with Objects 4, 6 and 7, registered with a strict Server.
fn equipped() -> (Serve, Device) {
    let serve = Serve::strict();
    let objects = |factory: &mut Factory, _: &mut Config| {
        for object in [ObjectId::CONNECTIVITY_MONITORING, ObjectId::LOCATION] {
            factory.add_object(object).expect("bundled");
        }
        let statistics = ConnectivityStatistics::instance();
        let added = factory.add_instance(ObjectId::CONNECTIVITY_STATISTICS, statistics);
        added.expect("bundled");
    };
    let device = Device::start("device", &[serve.coap], Binding::U, objects);
    registered(&device);
    (serve, device)
}

fn take(device: &Device, samples: Vec<Sample>) {
    device.run(|client, now| assert_eq!(client.take(now, samples), []));
}

#[test]
fn int_701_735_connectivity_monitoring() {
    let (serve, device) = equipped();
    let all = [(0, 41), (2, -61)];
    take(
        &device,
        all.map(|(id, value)| Sample::single([4, 0, id], Value::Integer(value)))
            .into(),
    );
    assert_eq!(serve.value("device/4/0/0"), 41);
    serve.operate("POST", "device/4/0/2/observe", "", "2.05");
    take(
        &device,
        vec![Sample::single([4, 0, 2], Value::Integer(-90))],
    );
    assert_eq!(serve.events("notified").next()["node"]["value"], -90);
}

#[test]
fn int_801_835_location() {
    let (serve, device) = equipped();
    let mut fix = Fix {
        latitude: -43.5723,
        longitude: 153.2176,
        at: WallTime(1_700_000_000_000),
        ..Fix::default()
    };
    take(&device, fix.samples());
    assert_eq!(serve.value("device/6/0/0"), -43.5723);
    assert_eq!(serve.value("device/6/0/5"), 1_700_000_000);
    serve.operate("POST", "device/6/0/observe", "", "2.05");
    fix.altitude = Some(12.5);
    take(&device, fix.samples());
    let told = serve.events("notified").next()["node"]["resources"].clone();
    let told = told.as_array().expect("the whole instance");
    assert!(
        told.iter()
            .any(|one| one["id"] == 2 && one["value"] == 12.5)
    );
}

#[test]
fn int_901_935_connectivity_statistics() {
    let (serve, device) = equipped();
    let count = |tx_bytes| {
        let traffic = Traffic {
            tx_bytes,
            messages: tx_bytes / 100,
            ..Traffic::default()
        };
        take(&device, vec![Sample::Traffic(traffic)]);
    };
    count(50_000);
    assert_eq!(
        serve.value("device/7/0/2"),
        0,
        "nothing is counted before Start"
    );
    serve.operate("POST", "device/7/0/6", "{}", "2.04");
    count(57_000);
    assert_eq!(serve.value("device/7/0/2"), 7);
    serve.operate("POST", "device/7/0/7", "{}", "2.04");
    count(90_000);
    assert_eq!(serve.value("device/7/0/2"), 7);
}
