//! What a Server does for every Client and every notification: object lists and TLV.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Register, Strictness};
use dunlin_lwm2m::{
    ContentFormat, Instance, LwM2mVersion, Node, Path, Registry, Resource, Value, format,
};

const LINKS: &[u8] = b"</>;rt=\"oma.lwm2m\";ct=11543,</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,\
    </3303>;ver=1.1,</3303/0>,</3303/1>,</3311/0>";

fn device() -> Node {
    let text = |id: u16, text: &str| Resource::single(id, Value::String(text.into()));
    let integers = |id: u16, values: [i64; 2]| {
        let values = values.into_iter().enumerate();
        Resource::multiple(
            id,
            values.map(|(at, value)| ((at as u16).into(), Value::Integer(value))),
        )
    };
    Node::Instance(
        Instance::new(0)
            .with(text(0, "Open Mobile Alliance"))
            .with(text(1, "Lightweight M2M Client"))
            .with(text(2, "345000123"))
            .with(text(3, "1.0"))
            .with(integers(6, [1, 5]))
            .with(integers(7, [3800, 5000]))
            .with(integers(8, [125, 900]))
            .with(Resource::single(9, Value::Integer(100)))
            .with(Resource::single(13, Value::Time(1_367_491_215)))
            .with(text(14, "+02:00")),
    )
}

fn formats(criterion: &mut Criterion) {
    let registry = Registry::bundled();
    let links = ObjectLinks::parse(LINKS).unwrap().links;
    let model = registry.model(&links, LwM2mVersion::V1_0);
    let path = Path::from([3, 0]);
    let node = device();
    for (name, id) in [("tlv", ContentFormat::TLV), ("json", ContentFormat::JSON)] {
        let payload = format::encode(id, path, &node).unwrap();
        criterion.bench_function(&format!("{name}/decode device"), |bencher| {
            bencher.iter(|| format::decode(Some(id), path, black_box(&payload), &model).unwrap());
        });
        criterion.bench_function(&format!("{name}/encode device"), |bencher| {
            bencher.iter(|| format::encode(id, path, black_box(&node)).unwrap());
        });
    }
    let temperature = Path::from([3303, 0, 5700]);
    let payload = [0xe4, 0x16, 0x44, 0x41, 0xb4, 0x00, 0x00];
    criterion.bench_function("tlv/decode temperature", |bencher| {
        let id = Some(ContentFormat::TLV);
        bencher.iter(|| format::decode(id, temperature, black_box(&payload), &model).unwrap());
    });
}

fn links(criterion: &mut Criterion) {
    let parsed = ObjectLinks::parse(LINKS).unwrap().links;
    criterion.bench_function("links/parse 10", |bencher| {
        bencher.iter(|| ObjectLinks::parse(black_box(LINKS)).unwrap());
    });
    criterion.bench_function("links/decode stored", |bencher| {
        bencher.iter(|| ObjectLinks::decode(black_box(parsed.encode())).unwrap());
    });
    let queries = [
        "ep=urn:imei:123456789012345",
        "lt=86400",
        "lwm2m=1.0",
        "b=U",
    ];
    criterion.bench_function("links/parse register", |bencher| {
        let format = Some(ContentFormat::LINK);
        bencher.iter(|| {
            Register::parse(black_box(queries), format, LINKS, Strictness::Lenient).unwrap()
        });
    });
}

criterion_group!(benches, formats, links);
criterion_main!(benches);
